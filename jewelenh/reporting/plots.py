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

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from jewelenh.evaluation.scores import PhotoScore, ScoreTable
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
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), COLOURS["line"]),
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), COLOURS["soft"]),
    "text.color": COLOURS["ink"],
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none"),
    "figure.constrained_layout.use": True,
}
_GUIDE: dict[str, Any] = {"color": COLOURS["soft"], "linewidth": 0.9, "linestyle": (0, (4, 4))}


@dataclass(frozen=True)
class Line:
    """One run's curve."""

    label: str
    points: Sequence[tuple[float, float]]
    series: int
    dash: str = ""
    """As in SVG; tells the seeds of one setting apart."""


def colour(series: int) -> str:
    """Return the colour of a checkpoint or run."""
    return COLOURS[f"s{series % N_SERIES}"]


def gains_plot(metric: Metric, tables: Mapping[str, ScoreTable], key: str) -> Markup:
    """Draw every photo's gain as a dot (hollow where it got worse), by rank, over the mean and its 95 % interval."""
    with _figure(2.9, 2.75 if len(tables) == 1 else 0.6 + 0.95 * len(tables)) as (figure, axis):
        for index, (name, table) in enumerate(tables.items()):
            if len(tables) > 1:
                _name(axis, 0.83 - index, name)
            scores = table.ranked(metric.name)[::-1]
            gains = [table.gain(score, metric.name) for score in scores]
            up = np.linspace(0.24, 0.72 if len(tables) > 1 else 0.96, len(gains)) - index
            told = [metric.text(gain, sign=True, unit=True) for gain in gains]
            _scatter(axis, metric, (gains, up), gains, _labels(scores, told), index)
            row = table.summary[metric.name]
            _interval(axis, 0.1 - index, (row["gain_low"], row["gain"], row["gain_high"]), index)
        direction = "better →" if metric.higher_is_better else "← better"
        _over_zero(axis, (1.0 - len(tables), 1.0), f"gain{_unit(metric)}, {direction}")
        first = next(iter(tables.values())).summary[metric.name]
        told_all = f"Gains in {metric.title}, a dot a photo; mean {metric.text(first['gain'], sign=True)}, "
        return _svg(figure, told_all + f"95 % interval {metric.interval(first['gain_low'], first['gain_high'])}", key)


def _labels(scores: Sequence[PhotoScore], told: Sequence[str]) -> list[str]:
    return [f"{printable(score.stem)}: {text}" for score, text in zip(scores, told, strict=True)]


def _scatter(
    axis: Any, metric: Metric, places: tuple[Any, Any], gains: Sequence[float], labels: Sequence[str], series: int
) -> None:
    """Draw a dot a photo, hollow where it got worse, named when the pointer is on it."""
    fills = [colour(series) if metric.is_better(gain) else COLOURS["card"] for gain in gains]
    size = 22 if len(gains) <= 60 else 12
    dots = axis.scatter(*places, size, fills, edgecolors=colour(series), linewidths=1, zorder=3, clip_on=False)
    dots.set_urls(list(labels))


def scatter_plot(metric: Metric, tables: Mapping[str, ScoreTable], key: str) -> Markup:
    """Draw the result over its baseline; the shaded side of the diagonal is the better one."""
    with _figure(2.9, 2.75) as (figure, axis):
        first = next(iter(tables.values()))
        for index, table in enumerate(tables.values()):
            before = [score.values[table.baseline][metric.name] for score in table.photos]
            after = [score.values[table.result][metric.name] for score in table.photos]
            told = [f"{metric.text(a)} to {metric.text(b, unit=True)}" for a, b in zip(before, after, strict=True)]
            gains = [table.gain(score, metric.name) for score in table.photos]
            _scatter(axis, metric, (before, after), gains, _labels(table.photos, told), index)
        ends = (*axis.get_xlim(), *axis.get_ylim())
        low, high = min(ends), max(ends)
        edge = high if metric.higher_is_better else low
        axis.fill_between([low, high], [low, high], [edge, edge], color=COLOURS["wash"], linewidth=0, zorder=0)
        axis.plot([low, high], [low, high], **_GUIDE, zorder=1)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set(xlabel=f"{first.baseline}, {metric.title}{_unit(metric)}", ylabel=first.result)
        axis.locator_params(nbins=4)
        return _svg(figure, f"{metric.title} of {first.result} over that of {first.baseline}, a dot a photo", key)


def _interval(axis: Any, up: float, ends: tuple[float, float, float], series: int) -> None:
    """Draw low, mean and high as a bar with a diamond on it."""
    low, mean, high = ends
    axis.plot([low, high], [up] * 2, color=colour(series), linewidth=2.4)
    axis.plot([mean], [up], "D", color=colour(series), markersize=5.5)


def _name(axis: Any, up: float, name: str) -> None:
    axis.text(0.0, up, printable(name), transform=axis.get_yaxis_transform(), weight="bold")


def _over_zero(axis: Any, ends: tuple[float, float], label: str) -> None:
    """Give rows of differences their common zero, and no scale upwards."""
    axis.axvline(0, **_GUIDE, zorder=0)
    axis.set(ylim=ends, yticks=[], xlabel=label)
    axis.spines["left"].set_visible(False)
    axis.locator_params(axis="x", nbins=4)


def chart(title: str, lines: Sequence[Line], key: str) -> Markup:
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
        axis.locator_params(axis="x", nbins=8, integer=True)
        axis.locator_params(axis="y", nbins=5)
        axis.spines["left"].set_visible(False)
        return _svg(figure, title, key)


def _unit(metric: Metric) -> str:
    return f" ({metric.unit})" if metric.unit else ""


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
