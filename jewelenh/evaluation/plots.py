"""Plots of the report as inline SVG; colours are classes, so that the page's light and dark style reach them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jewelenh.evaluation.protocol import LOWER_IS_BETTER, Evaluation
from jewelenh.evaluation.words import SHORT, UNITS, interval, is_better, number, safe

WIDTH = 280
LEFT, RIGHT, AXIS = 14, 14, 40
DOT, LARGE_DOT = 4.0, 6.0
N_SERIES = 6
"""Colours of the style sheet; more checkpoints start over."""
ROW, ROW_LABEL = 72, 18
ROW_ALONE = 190
"""Height of a row of dots in pixels; alone it is as high as the scatter beside it."""
TEXT = 'class="tick" text-anchor="middle"'


@dataclass(frozen=True)
class Scale:
    """Values to pixels along one axis."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, n_most: int = 5) -> list[float]:
        """Return round values inside: steps of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / n_most
        power = 10.0 ** np.floor(np.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first = np.ceil(self.low / step - 1e-9)
        count = int(np.floor(self.high / step + 1e-9) - first) + 1
        return [float(round((first + n) * step, 12)) for n in range(max(count, 0))]


def spread(values: Sequence[float], also: Sequence[float] = (), share: float = 0.08) -> tuple[float, float]:
    """Return limits that hold all values with some air; equal values get some room of their own."""
    low, high = min([*values, *also]), max([*values, *also])
    air = (high - low) * share or max(abs(high) * share, 1e-3)
    return low - air, high + air


def gains_plot(metric: str, evaluations: Sequence[Evaluation]) -> str:
    """Draw every photo's gain as a dot (hollow where it got worse), stacked, over the mean and its 95 % interval."""
    summaries = [evaluation.summary()[metric] for evaluation in evaluations]
    gains = [[score.gain(metric) for score in evaluation.photos] for evaluation in evaluations]
    ends = [row[key] for row in summaries for key in ("gain_low", "gain_high")]
    low, high = spread([gain for row in gains for gain in row], [0.0, *ends])
    scale = Scale(low, high, LEFT, WIDTH - RIGHT)
    label = ROW_LABEL if len(evaluations) > 1 else 0
    row = ROW if label else ROW_ALONE
    height = len(evaluations) * (row + label) + AXIS
    parts = [_vertical(scale(0.0), 4, height - AXIS, "zero")]
    for index, evaluation in enumerate(evaluations):
        top = index * (row + label)
        if label:
            parts.append(f'<text class="label" x="{LEFT}" y="{top + 13}">{safe(evaluation.name)}</text>')
        parts.append(_row_of_dots(metric, evaluation, scale, top + label + row, index, row))
    parts.append(_x_axis(scale, height - AXIS, f"gain{_unit(metric)}"))
    parts.append(_direction(metric, scale, height))
    first = summaries[0]
    told = f"Gains in {SHORT[metric]} of {len(gains[0])} photos; mean {number(metric, first['gain'], sign=True)}, "
    told += f"95 % interval {interval(metric, first['gain_low'], first['gain_high'])}"
    return _svg(WIDTH, height, told, parts)


def _row_of_dots(metric: str, evaluation: Evaluation, scale: Scale, bottom: int, index: int, height: int) -> str:
    floor = bottom - 26
    radius = LARGE_DOT if height == ROW_ALONE and len(evaluation.photos) <= 60 else DOT
    scores = sorted(evaluation.photos, key=lambda score: score.gain(metric))
    columns: dict[int, int] = {}
    places = []
    for score in scores:
        column = round(scale(score.gain(metric)) / (2 * radius + 1))
        columns[column] = columns.get(column, 0) + 1
        places.append((score, columns[column] - 1))
    step = min(2 * radius + 1, (height - 40) / max(columns.values()))
    dots = []
    for score, level in places:
        gain = score.gain(metric)
        kind = "dot" if is_better(metric, gain) else "dot hollow"
        told = f"{safe(score.stem)}: {number(metric, gain, sign=True)}{UNITS.get(metric, '')}"
        dots.append(_dot(scale(gain), floor - level * step, f"{kind} s{index % N_SERIES}", told, radius))
    row = evaluation.summary()[metric]
    y = floor + 16
    a, b, middle = (scale(row[key]) for key in ("gain_low", "gain_high", "gain"))
    bar = f'<line class="range s{index % N_SERIES}" x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}"/>'
    diamond = f"M{middle:.1f} {y - 6}l5 6l-5 6l-5 -6z"
    return "".join(dots) + bar + f'<path class="mean s{index % N_SERIES}" d="{diamond}"/>'


def scatter_plot(metric: str, evaluations: Sequence[Evaluation]) -> str:
    """Draw `refined` over `input`; the shaded side of the diagonal is the better one."""
    values = [v for run in evaluations for s in run.photos for v in (s.input[metric], s.refined[metric])]
    low, high = spread(values)
    side, edge = 210, 56
    x, y = Scale(low, high, edge, edge + side), Scale(low, high, 8 + side, 8)
    corner = (edge, 8) if metric not in LOWER_IS_BETTER else (edge + side, 8 + side)
    shade = f"M{edge} {8 + side}L{edge + side} 8L{corner[0]} {corner[1]}z"
    parts = [
        f'<rect class="frame" x="{edge}" y="8" width="{side}" height="{side}"/>',
        f'<path class="shade" d="{shade}"/><path class="zero" d="M{edge} {8 + side}L{edge + side} 8"/>',
    ]
    for index, run in enumerate(evaluations):
        for score in run.photos:
            before, after = score.input[metric], score.refined[metric]
            kind = "dot" if is_better(metric, after - before) else "dot hollow"
            told = f"{safe(score.stem)}: {number(metric, before)} to {number(metric, after)}"
            parts.append(_dot(x(before), y(after), f"{kind} s{index % N_SERIES}", told))
    parts.append(_x_axis(x, 8 + side, f"input, {SHORT[metric]}{_unit(metric)}", line=False))
    parts += [f'<text class="tick" text-anchor="end" x="{edge - 6}" y="{y(t) + 4:.1f}">{_tick(t)}</text>'
              for t in y.ticks()]  # fmt: skip
    middle = 8 + side / 2
    parts.append(f'<text {TEXT} transform="translate(11 {middle}) rotate(-90)">refined</text>')
    return _svg(WIDTH, side + 8 + AXIS, f"{SHORT[metric]} of refined over that of input, a dot a photo", parts)


def interval_plot(metric: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Draw mean and interval of named differences, a line each, over a common zero."""
    low, high = spread([value for row in rows for value in row[1:]], [0.0])
    scale = Scale(low, high, LEFT, WIDTH - RIGHT)
    height = 44 * len(rows) + AXIS + 6
    parts = [_vertical(scale(0.0), 4, height - AXIS, "zero")]
    for index, (name, mean, start, stop) in enumerate(rows):
        y = 44 * index + 34
        parts.append(f'<text class="label" x="{LEFT}" y="{y - 14}">{safe(name)}</text>')
        parts.append(f'<line class="range s0" x1="{scale(start):.1f}" x2="{scale(stop):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<path class="mean s0" d="M{scale(mean):.1f} {y - 6}l5 6l-5 6l-5 -6z"/>')
    parts.append(_x_axis(scale, height - AXIS, f"difference in {SHORT[metric]}{_unit(metric)}"))
    return _svg(WIDTH, height, f"Differences between checkpoints in {SHORT[metric]} with 95 % intervals", parts)


def _x_axis(scale: Scale, y: float, title: str, line: bool = True) -> str:
    drawn = f'<line class="axis" x1="{scale.start}" x2="{scale.stop}" y1="{y}" y2="{y}"/>' if line else ""
    ticks = "".join(f'<text {TEXT} x="{scale(t):.1f}" y="{y + 16}">{_tick(t)}</text>' for t in scale.ticks(4))
    return drawn + ticks + f'<text {TEXT} x="{(scale.start + scale.stop) / 2}" y="{y + 33}">{title}</text>'


def _direction(metric: str, scale: Scale, height: float) -> str:
    lower = metric in LOWER_IS_BETTER
    x, anchor, words = (scale.start, "start", "← better") if lower else (scale.stop, "end", "better →")
    return f'<text class="tick" text-anchor="{anchor}" x="{x}" y="{height - AXIS + 33}">{words}</text>'


def _vertical(x: float, top: float, bottom: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _dot(x: float, y: float, kind: str, told: str, radius: float = DOT) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{told}</title></circle>'


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _unit(metric: str) -> str:
    return f" ({UNITS[metric].strip()})" if metric in UNITS else ""


def _svg(width: float, height: float, told: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{told}" '
        f'preserveAspectRatio="xMidYMid meet">{"".join(parts)}</svg>'
    )
