"""Learning curves as SVG, drawn by hand so that a page needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from jewelenh.sweeps.gather import Result, SweepResults

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 30, 40
N_COLOURS = 6
"""Of the page's style: --s0 to --s5."""
SHOWN = (("val/gain_db", "validation gain, dB"), ("train/loss_epoch", "training loss"))


@dataclass(frozen=True)
class Line:
    """One run's curve: (epoch, value), a colour, and a dash that tells the seeds apart."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int
    dash: str


def charts(sweep: SweepResults) -> list[str]:
    """Return for each level a chart of the validation gain and one of the loss."""
    found = []
    for level in dict.fromkeys(result.note.level for result in sweep.results):
        results = [result for result in sweep.results if result.note.level == level]
        for column, title in SHOWN:
            lines = _lines(results, column)
            if lines:
                found.append(chart(f"{level}: {title}", lines))
    return found


def _lines(results: Sequence[Result], column: str) -> list[Line]:
    settings = list(dict.fromkeys(result.settings for result in results))
    seeds = list(dict.fromkeys(result.note.seed for result in results))
    dashes = ("", "7 4", "2 3", "9 3 2 3")
    lines = []
    for result in results:
        by_epoch = {row["epoch"] + 1: row[column] for row in result.curves if column in row and "epoch" in row}
        points = tuple((epoch, value) for epoch, value in sorted(by_epoch.items()) if math.isfinite(value))
        if points:
            colour, dash = settings.index(result.settings), seeds.index(result.note.seed)
            if len(settings) == 1:
                colour, dash = dash, 0
            lines.append(Line(result.label, points, colour % N_COLOURS, dashes[dash % len(dashes)]))
    return lines


def chart(title: str, lines: Sequence[Line]) -> str:
    """Return one chart, with each line's name as a tooltip and in a legend below."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_low, x_high = min(xs), max(*xs, min(xs) + 1)
    y_ticks = _ticks(min(ys), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        down = TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = [f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>']
    for tick in y_ticks:
        _, down = place(x_low, tick)
        axis = ' class="zero"' if tick == 0 else ""
        parts.append(f'<line{axis} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down + 4}" text-anchor="end">{tick:g}</text>')
    for tick in sorted({round(tick) for tick in _ticks(x_low, x_high) if x_low <= round(tick) <= x_high}):
        parts.append(f'<text x="{place(tick, y_low)[0]}" y="{HEIGHT - 20}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">epoch</text>')
    parts += [_drawn(line, [place(*point) for point in line.points]) for line in lines]
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f'<figure class="chart">{svg}<figcaption>{"".join(_legend(line) for line in lines)}</figcaption></figure>'


def _drawn(line: Line, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{across},{down}" for across, down in points)
    style = f'stroke="var(--s{line.colour})" stroke-dasharray="{line.dash}"'
    last = points[-1]
    return (
        f"<g><title>{escape(line.label)}: {line.points[-1][1]:.4g}</title>"
        f'<polyline points="{path}" fill="none" stroke-width="2" {style}/>'
        f'<circle cx="{last[0]}" cy="{last[1]}" r="3" fill="var(--s{line.colour})"/></g>'
    )


def _legend(line: Line) -> str:
    return (
        f'<span><svg viewBox="0 0 24 8" width="24" height="8"><line x1="0" x2="24" y1="4" y2="4" '
        f'style="stroke:var(--s{line.colour});stroke-width:2;stroke-dasharray:{line.dash or "none"}"/></svg>'
        f"{escape(line.label)}</span>"
    )


def _ticks(low: float, high: float, n_ticks: int = 5) -> list[float]:
    """Return round numbers that span from `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / n_ticks))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= n_ticks)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        first, last = first - 1, last + 1
    return [round(number * step, 10) for number in range(first, last + 1)]
