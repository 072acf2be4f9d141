"""Plots by Matplotlib as SVG inside a page; colours become the page's own, so that light and dark styles reach them.

Equal numbers give equal bytes: ids are salted with the plot's name, and nothing carries a date.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jewelenh.evaluation.scores import Difference, ScoreTable
from jewelenh.metrics import Metric
from jewelenh.reporting.render import printable

COLOURS = {
    "card": "#fefefe", "ink": "#1d1c1a", "soft": "#66625a", "line": "#e4e0d7", "wash": "#f4efe2",
    "s0": "#2463b4", "s1": "#c2571a", "s2": "#0d7f73", "s3": "#8747a8", "s4": "#93720a", "s5": "#b52d68",
}  # fmt: skip
"""Variables of report.css, and what stands for them while Matplotlib draws."""
N_SERIES = 6
"""Colours for checkpoints and runs; more of them start over."""
DASHES = ("", "6 3", "2 2", "7 2 2 2")
N_COLUMNS = 44
"""Gains this close together, as a share of the axis, stand on top of each other."""
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["soft"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["soft"],
    "text.color": COLOURS["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Line:
    """One run's curve."""

    label: str
    points: Sequence[tuple[float, float]]
    series: int
    dash: str = ""
    """As in SVG; tells the seeds of one setting apart."""


@dataclass(frozen=True)
class Chart:
    """Curves of several runs, with what its legend needs."""

    title: str
    svg: Markup
    lines: Sequence[Line]


def colour(series: int) -> str:
    """Return the colour of a checkpoint or run."""
    return COLOURS[f"s{series % N_SERIES}"]


def gains_plot(metric: Metric, tables: Mapping[str, ScoreTable], key: str) -> Markup:
    """Draw every photo's gain as a dot (hollow where it got worse), stacked, over the mean and its 95 % interval."""
    rows = list(tables.items())
    with _figure(2.9, 2.75 if len(rows) == 1 else 0.6 + 0.95 * len(rows)) as (figure, axis):
        gains = [table.gain(score, metric.name) for _, table in rows for score in table.photos]
        ends = [table.summary[metric.name][end] for _, table in rows for end in ("gain_low", "gain_high")]
        low, high = min([*gains, *ends, 0.0]), max([*gains, *ends, 0.0])
        width = (high - low) / N_COLUMNS or 1e-9
        for index, (name, table) in enumerate(rows):
            floor = -float(index)
            if len(rows) > 1:
                axis.text(
                    0.0, floor + 0.97, printable(name), transform=axis.get_yaxis_transform(), va="top", weight="bold"
                )
            _dots(axis, metric, table, (floor + 0.24, 0.48 if len(rows) > 1 else 0.72), width, index)
            row = table.summary[metric.name]
            axis.plot([row["gain_low"], row["gain_high"]], [floor + 0.1] * 2, color=colour(index), linewidth=2.4)
            axis.plot([row["gain"]], [floor + 0.1], "D", color=colour(index), markersize=5.5)
        axis.axvline(0, color=COLOURS["soft"], linewidth=0.9, linestyle=(0, (4, 4)), zorder=0)
        axis.set(ylim=(1.0 - len(rows), 1.0), yticks=[], xlabel=f"gain{_unit(metric)}, {_direction(metric)}")
        axis.spines["left"].set_visible(False)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        first = rows[0][1].summary[metric.name]
        told = f"Gains in {metric.title}, a dot a photo; mean {metric.text(first['gain'], sign=True)}, "
        return _svg(figure, told + f"95 % interval {metric.interval(first['gain_low'], first['gain_high'])}", key)


def _dots(axis: Any, metric: Metric, table: ScoreTable, place: tuple[float, float], width: float, series: int) -> None:
    """Stack the dots of one table between `place[0]` and that plus `place[1]`."""
    scores = sorted(table.photos, key=lambda score: table.gain(score, metric.name))
    gains = [table.gain(score, metric.name) for score in scores]
    heights: dict[int, int] = {}
    levels = []
    for gain in gains:
        column = round(gain / width)
        levels.append(heights.get(column, 0))
        heights[column] = levels[-1] + 1
    step = min(place[1] / max(heights.values()), 0.09 if place[1] > 0.5 else 0.16)
    shown = [f"{printable(s.stem)}: {metric.text(g, sign=True, unit=True)}" for s, g in zip(scores, gains, strict=True)]
    _scatter(axis, gains, [place[0] + level * step for level in levels], metric, gains, shown, series)


def _scatter(
    axis: Any,
    across: Sequence[float],
    up: Sequence[float],
    metric: Metric,
    gains: Sequence[float],
    shown: Sequence[str],
    series: int,
) -> None:
    fills = [colour(series) if metric.is_better(gain) else COLOURS["card"] for gain in gains]
    size = 22 if len(gains) <= 60 else 12
    dots = axis.scatter(across, up, size, fills, edgecolors=colour(series), linewidths=1, zorder=3, clip_on=False)
    dots.set_urls(list(shown))


def scatter_plot(metric: Metric, tables: Mapping[str, ScoreTable], key: str) -> Markup:
    """Draw the result over its baseline; the shaded side of the diagonal is the better one."""
    with _figure(2.9, 2.75) as (figure, axis):
        before = {n: [s.values[t.baseline][metric.name] for s in t.photos] for n, t in tables.items()}
        after = {n: [s.values[t.result][metric.name] for s in t.photos] for n, t in tables.items()}
        every = [value for group in (*before.values(), *after.values()) for value in group]
        air = (max(every) - min(every)) * 0.08 or abs(max(every)) * 0.08 or 1e-3
        low, high = min(every) - air, max(every) + air
        edge = high if metric.higher_is_better else low
        axis.fill_between([low, high], [low, high], [edge, edge], color=COLOURS["wash"], linewidth=0, zorder=0)
        axis.plot([low, high], [low, high], color=COLOURS["soft"], linewidth=0.9, linestyle=(0, (4, 4)), zorder=1)
        for index, (name, table) in enumerate(tables.items()):
            values = list(zip(before[name], after[name], strict=True))
            shown = [
                f"{printable(score.stem)}: {metric.text(a)} to {metric.text(b, unit=True)}"
                for score, (a, b) in zip(table.photos, values, strict=True)
            ]
            _scatter(axis, before[name], after[name], metric, [b - a for a, b in values], shown, index)
        first = next(iter(tables.values()))
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set(xlabel=f"{first.baseline}, {metric.title}{_unit(metric)}", ylabel=first.result)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.set_major_locator(MaxNLocator(4))
        return _svg(figure, f"{metric.title} of {first.result} over that of {first.baseline}, a dot a photo", key)


def interval_plot(metric: Metric, found: Sequence[Difference], key: str) -> Markup:
    """Draw mean and interval of differences between checkpoints, a line each, over a common zero."""
    with _figure(2.9, 0.6 + 0.5 * len(found)) as (figure, axis):
        for index, one in enumerate(found):
            axis.plot([one.low, one.high], [-index] * 2, color=colour(0), linewidth=2.4)
            axis.plot([one.mean], [-index], "D", color=colour(0), markersize=5.5)
            told = f"{printable(one.second)} − {printable(one.first)}"
            axis.text(0.0, -index + 0.25, told, transform=axis.get_yaxis_transform(), weight="bold")
        axis.axvline(0, color=COLOURS["soft"], linewidth=0.9, linestyle=(0, (4, 4)), zorder=0)
        axis.set(ylim=(-len(found) + 0.5, 0.7), yticks=[], xlabel=f"difference in {metric.title}{_unit(metric)}")
        axis.spines["left"].set_visible(False)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        return _svg(figure, f"Differences between checkpoints in {metric.title} with 95 % intervals", key)


def chart(title: str, lines: Sequence[Line], key: str) -> Chart:
    """Draw curves over epochs, each named when the pointer is on it."""
    with _figure(5.6, 2.5) as (figure, axis):
        axis.set_title(printable(title), loc="left", fontsize=10, weight="bold")
        axis.grid(axis="y", color=COLOURS["line"], linewidth=0.8)
        for line in lines:
            across, up = zip(*line.points, strict=True)
            last = f"{printable(line.label)}: {up[-1]:.4g}"
            dash = (0, tuple(float(n) / 2 for n in line.dash.split())) if line.dash else "-"
            axis.plot(across, up, color=colour(line.series), linewidth=1.7, linestyle=dash, url=last)
            axis.plot(across[-1:], up[-1:], "o", color=colour(line.series), markersize=4.5, url=last)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.spines["left"].set_visible(False)
        return Chart(title, _svg(figure, title, key), lines)


def _unit(metric: Metric) -> str:
    return f" ({metric.unit})" if metric.unit else ""


def _direction(metric: Metric) -> str:
    return "better →" if metric.higher_is_better else "← better"


@contextmanager
def _figure(width_in: float, height_in: float) -> Iterator[tuple[Figure, Any]]:
    with rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in))
        yield figure, figure.add_subplot()


def _svg(figure: Figure, label: str, key: str) -> Markup:
    """Return the figure as an element of a page: no document around it, ids of its own, titles for tooltips."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": key}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    text = re.sub(r"<svg[^>]*>", f'<svg {box[0]} role="img" aria-label="{escape(label)}">', text, count=1)
    referred = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in referred else "", text)
    text = re.sub(r'( id="|url\(#|href="#)', rf"\1{key}-", text)
    text = re.sub(
        r"""<a xlink:href=(["'])(?!#)(.*?)\1[^>]*>(.*?)</a>""", r"<g><title>\2</title>\3</g>", text, flags=re.DOTALL
    )
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    for name, value in COLOURS.items():
        text = text.replace(value, f"var(--{name})")
    return Markup(re.sub(r"\n\s*", "\n", text).strip())
