"""Scores as tables: the means of every metric, differences between checkpoints, and photo by photo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jewelenh.evaluation.photos import in_photos
from jewelenh.evaluation.run import Findings
from jewelenh.evaluation.scores import Evaluation, PhotoScore, ScoreTable
from jewelenh.metrics import METRICS, Metric
from jewelenh.reporting.render import Entry, Table, Tone, row


def score_record(table: ScoreTable, score: PhotoScore) -> dict[str, float]:
    """Return a photo's numbers by their columns in CSV and on dashboards: `psnr_db_input`, ..., `psnr_db_gain`."""
    record = {}
    for metric in table.metrics:
        record.update({f"{metric.name}_{image}": values[metric.name] for image, values in score.values.items()})
        record[f"{metric.name}_gain"] = table.gain(score, metric.name)
    return record


def photo_records(findings: Findings) -> list[dict[str, object]]:
    """Return the lines of metrics.csv: one for each photo, and for each checkpoint where there are several."""
    return [
        {"stem": stem, **({"checkpoint": run.name} if findings.is_comparison else {}), **score_record(table, score)}
        for run in findings.evaluations
        for table in [run.against_target]
        for stem, score in sorted(table.by_stem.items())
    ]


def improved(table: ScoreTable, metric: str) -> str:
    """Return how many of the photos improved; versions of one photo count once."""
    return f"{round(table.summary[metric]['share_improved'] * table.n_photos)} of {table.n_photos}"


def summary_columns(images: Sequence[str]) -> list[str]:
    """Return the columns of `summary_row`."""
    return [*images, "gain", "95 % interval", "improved", "worst gain"]


def summary_row(metric: Metric, means: Mapping[str, float], images: Sequence[str], improved: str) -> list[Entry]:
    """Return the means of the images, the gain in the colour of its verdict, its interval, and how many improved."""
    verdict = metric.verdict(means["gain_low"], means["gain_high"])
    tone: Tone = "strong" if verdict == "unclear" else verdict
    return row(
        *(metric.text(means[image]) for image in images),
        Entry(metric.text(means["gain"], sign=True), tone=tone),
        metric.interval(means["gain_low"], means["gain_high"]),
        improved,
        metric.text(means.get("worst_gain", math.nan), sign=True),
    )


def summary_table(tables: Mapping[str, ScoreTable], what: str = "checkpoint") -> Table:
    """Return the summary of tables against one reference; `what` their names stand for, where there are several."""
    first = next(iter(tables.values()))
    named = [what] if len(tables) > 1 else []
    rows = []
    for metric in first.metrics:
        for series, (name, table) in enumerate(tables.items()):
            whose = [Entry(name, series=series)] if named else []
            means = summary_row(metric, table.summary[metric.name], table.images, improved(table, metric.name))
            rows.append(row(metric.heading if series == 0 else "", *whose, *means))
    caption = f"Means over {in_photos(first.n_photos)}, against {first.against}. The interval is of the mean gain."
    return Table(caption, ["metric", *named, *summary_columns(first.images)], rows, frozenset(named))


def difference_table(findings: Findings) -> Table:
    """Return the differences of refined between checkpoints, photo by photo."""
    rows = []
    for found in findings.differences:
        metric = METRICS[found.metric]
        mean, interval = metric.text(found.mean, sign=True), metric.interval(found.low, found.high)
        who, share = f"{found.second} − {found.first}", f"{found.share_better:.0%}"
        rows.append(row(who, metric.title, mean, interval, share, found.verdict))
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
        shown = [Entry(score.stem, score.stem, image=(thumbnails or {}).get(score.stem))]
        shown += [Entry(run.name, run.name)] if named else []
        for metric in metrics:
            shown += _before_after(metric, run.against_target, score)
        rows.append(shown)
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
