"""Scores as tables: the means of every metric, differences between checkpoints, and photo by photo."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from jewelenh.evaluation.photos import in_photos
from jewelenh.evaluation.run import Findings
from jewelenh.evaluation.scores import Evaluation, PhotoScore, ScoreTable
from jewelenh.metrics import METRICS, Metric
from jewelenh.reporting.render import Entry, Table, Tone


def score_columns(table: ScoreTable) -> list[str]:
    """Return the columns of a photo's numbers, for CSV and dashboards."""
    return [f"{metric.name}_{part}" for metric in table.metrics for part in (*table.images, "gain")]


def score_values(table: ScoreTable, score: PhotoScore) -> list[float]:
    """Return a photo's numbers in the order of `score_columns`."""
    return [
        value
        for metric in table.metrics
        for value in (*(score.values[image][metric.name] for image in table.images), table.gain(score, metric.name))
    ]


def csv_text(findings: Findings) -> str:
    """Return metrics.csv: a line for each photo, and for each checkpoint where there are several."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    whose = ["checkpoint"] if findings.is_comparison else []
    writer.writerow(["stem", *whose, *score_columns(findings.first.against_target)])
    for run in findings.evaluations:
        table = run.against_target
        for score in sorted(table.photos, key=lambda score: score.stem):
            numbers = [f"{value:.6f}" for value in score_values(table, score)]
            writer.writerow([score.stem, *([run.name] if whose else []), *numbers])
    return buffer.getvalue()


def improved(table: ScoreTable, metric: str) -> str:
    """Return how many of the photos improved; versions of one photo count once."""
    return f"{round(table.summary[metric]['share_improved'] * table.n_photos)} of {table.n_photos}"


def summary_columns(images: Sequence[str]) -> list[str]:
    """Return the columns of `summary_row`."""
    return [*images, "gain", "95 % interval", "improved", "worst gain"]


def summary_row(metric: Metric, row: Mapping[str, float], images: Sequence[str], improved: str) -> list[Entry]:
    """Return the means of the images, the gain in the colour of its verdict, its interval, and how many improved."""
    verdict = metric.verdict(row["gain_low"], row["gain_high"])
    return [
        *(Entry(metric.text(row[image])) for image in images),
        Entry(metric.text(row["gain"], sign=True), tone="strong" if verdict == "unclear" else verdict),
        Entry(metric.interval(row["gain_low"], row["gain_high"])),
        Entry(improved),
        Entry(metric.text(row.get("worst_gain", math.nan), sign=True)),
    ]


def summary_table(tables: Mapping[str, ScoreTable], what: str = "checkpoint") -> Table:
    """Return the summary of tables against one reference; `what` their names stand for, where there are several."""
    first = next(iter(tables.values()))
    named = [what] if len(tables) > 1 else []
    rows = []
    for metric in first.metrics:
        for series, (name, table) in enumerate(tables.items()):
            whose = [Entry(name, series=series)] if named else []
            means = summary_row(metric, table.summary[metric.name], table.images, improved(table, metric.name))
            rows.append([Entry(metric.heading if series == 0 else ""), *whose, *means])
    caption = f"Means over {in_photos(first.n_photos)}, against {first.against}. The interval is of the mean gain."
    return Table(caption, ["metric", *named, *summary_columns(first.images)], rows, frozenset(named))


def difference_table(findings: Findings) -> Table:
    """Return the differences of refined between checkpoints, photo by photo."""
    rows = []
    for found in findings.differences:
        metric = METRICS[found.metric]
        rows.append([
            Entry(f"{found.second} − {found.first}"),
            Entry(metric.title),
            Entry(metric.text(found.mean, sign=True)),
            Entry(metric.interval(found.low, found.high)),
            Entry(f"{found.share_better:.0%}"),
            Entry(found.verdict),
        ])  # fmt: skip
    columns = ["difference of refined", "metric", "mean", "95 % interval", "second better on", "verdict"]
    caption = "Differences photo by photo: what makes a photo easy or hard cancels out."
    return Table(caption, columns, rows, frozenset({"metric", "verdict"}))


def photo_table(
    findings: Findings,
    chosen: Sequence[tuple[Evaluation, PhotoScore]],
    caption: str,
    metrics: Sequence[Metric],
    thumbnails: Mapping[str, str] | None = None,
) -> Table:
    """Return a row for each of the chosen photos: every metric from baseline to result, and its gain."""
    named = ["checkpoint"] if findings.is_comparison else []
    rows = []
    for run, score in chosen:
        row = [Entry(score.stem, score.stem, image=(thumbnails or {}).get(score.stem))]
        row += [Entry(run.name, run.name)] if named else []
        for metric in metrics:
            row += _before_after(metric, run.against_target, score)
        rows.append(row)
    columns = ["photo", *named, *(column for metric in metrics for column in (metric.title, "gain"))]
    return Table(caption, columns, rows, frozenset(named))


def _before_after(metric: Metric, table: ScoreTable, score: PhotoScore) -> list[Entry]:
    before, after = (score.values[image][metric.name] for image in (table.baseline, table.result))
    values = Entry(f"{metric.text(before)} → {metric.text(after)}", round(after, 8))
    return [values, gain_entry(metric, table.gain(score, metric.name))]


def gain_entry(metric: Metric, gain: float, unit: bool = False) -> Entry:
    """Return a single photo's gain, `better`, `worse`, or `soft` where it shows as zero."""
    tone: Tone = "soft" if round(gain, metric.digits) == 0 else "better" if metric.is_better(gain) else "worse"
    return Entry(metric.text(gain, sign=True, unit=unit), round(gain, 8), tone)


def worst_table(findings: Findings, metrics: Sequence[Metric], thumbnails: Mapping[str, str] | None = None) -> Table:
    """Return the five photos with the smallest gain in PSNR, of every checkpoint."""
    chosen = [(run, score) for run in findings.evaluations for score in run.against_target.worst()]
    return photo_table(findings, chosen, "Worst five by gain in PSNR, from input to refined", metrics, thumbnails)
