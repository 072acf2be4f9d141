"""Scores as tables: the means of every metric, differences between checkpoints, and photo by photo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from jewelenh.evaluation.photos import in_photos
from jewelenh.evaluation.run import Findings
from jewelenh.evaluation.scores import Evaluation, PhotoScore, ScoreTable
from jewelenh.metrics import METRICS, Metric
from jewelenh.reporting.render import Entry, Table, Tone, row
from jewelenh.sweeps.results import level_rank

Levels: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By level and entry of GAINS: `gain` in PSNR and its like."""
GAINS = {
    "target_over_input": "against target",
    "raw_over_degraded": "against raw, over degraded",
    "raw_over_input": "against raw, over input",
}


def score_record(table: ScoreTable, score: PhotoScore) -> dict[str, float]:
    """Return a photo's numbers by their columns in CSV and on dashboards: `psnr_db_input`, ..., `psnr_db_gain`."""
    record = {}
    for metric in table.metrics:
        record.update({f"{metric.name}_{image}": values[metric.name] for image, values in score.values.items()})
        record[f"{metric.name}_gain"] = table.gain(score, metric.name)
    return record


def photo_records(run: Evaluation) -> list[dict[str, object]]:
    """Return the numbers of every photo by stem: those against target, then `raw_...` and `pairs_...`."""
    records: dict[str, dict[str, object]] = {}
    for table in run.tables:
        prefix = "" if table is run.against_target else f"{table.name}_"
        for score in table.photos:
            record = records.setdefault(score.stem, {"stem": score.stem, "level": score.level})
            record.update({f"{prefix}{column}": value for column, value in score_record(table, score).items()})
    return [records[stem] for stem in sorted(records)]


def improved(table: ScoreTable, metric: str) -> str:
    """Return how many of the photos improved; versions of one photo count once."""
    return f"{round(table.summary[metric]['share_improved'] * table.n_photos)} of {table.n_photos}"


def summary_columns(summary: Mapping[str, float]) -> list[str]:
    """Return the columns of `summary_row`."""
    images, over = list(summary)[: list(summary).index("gain")], ["over input"] if "over_input_gain" in summary else []
    return [*images, "gain", "95 % interval", "improved", "worst gain", *over]


def summary_row(metric: Metric, means: Mapping[str, float], improved: str) -> list[Entry]:
    """Return the means of the images, the gain in the colour of its verdict, its interval, and how many improved."""
    return row(
        *(metric.text(value) for value in list(means.values())[: list(means).index("gain")]),
        _mean_gain(metric, means, ""),
        metric.interval(means["gain_low"], means["gain_high"]),
        improved,
        metric.text(means.get("worst_gain", math.nan), sign=True),
        *([_mean_gain(metric, means, "over_input_")] if "over_input_gain" in means else []),
    )


def _mean_gain(metric: Metric, means: Mapping[str, float], prefix: str) -> Entry:
    gain, low, high = (means[f"{prefix}{column}"] for column in ("gain", "gain_low", "gain_high"))
    verdict = metric.verdict(low, high)
    return Entry(metric.text(gain, sign=True), tone="strong" if verdict == "unclear" else verdict)


def summary_table(tables: Mapping[str, ScoreTable], what: str = "checkpoint") -> Table:
    """Return the summary of tables against one reference; `what` their names stand for, where there are several."""
    first = next(iter(tables.values()))
    named = [what] if len(tables) > 1 else []
    rows = []
    for metric in first.metrics:
        for series, (name, table) in enumerate(tables.items()):
            whose = [Entry(name, series=series)] if named else []
            means = summary_row(metric, table.summary[metric.name], improved(table, metric.name))
            rows.append(row(metric.heading if series == 0 else "", *whose, *means))
    title = f"{first.title[:1].upper()}{first.title[1:]}"
    caption = f"{title}: means over {in_photos(first.n_photos)}. Gain is {first.result} over {first.baseline}."
    columns = summary_columns(first.summary[first.metrics[0].name])
    return Table(caption, ["metric", *named, *columns], rows, frozenset(named))


def level_table(rows: Sequence[tuple[str, Levels]]) -> Table:
    """Return gains in PSNR: a row for each network and reference, a column for each level that it was tested at."""
    levels = sorted({level for _, by_level in rows for level in by_level}, key=level_rank)
    shown = []
    for name, by_level in rows:
        for key, what in GAINS.items():
            gains = [by_level.get(level, {}).get(key, {}).get("gain") for level in levels]
            entries = [Entry("-") if gain is None else gain_entry(METRICS["psnr_db"], gain) for gain in gains]
            shown.append(row(name, what, *entries))
    caption = (
        "Gain in PSNR (dB) by the level that photos are tested at; red is harm. `none` is not degraded, so that input"
    )
    caption += " is target."
    return Table(caption, ["trained", "gain", *levels], shown, frozenset({"gain"}))


def difference_table(findings: Findings) -> Table:
    """Return the differences of refined between checkpoints, photo by photo."""
    rows = []
    for found in findings.differences:
        metric = METRICS[found.metric]
        mean, interval = metric.text(found.mean, sign=True), metric.interval(found.low, found.high)
        who, share = f"{found.second} − {found.first}", f"{found.share_better:.0%}"
        rows.append(row(who, found.against, metric.title, mean, interval, share, found.verdict))
    columns = ["difference of refined", "against", "metric", "mean", "95 % interval", "second better on", "verdict"]
    caption = "Differences photo by photo: what makes a photo easy or hard cancels out."
    return Table(caption, columns, rows, frozenset({"against", "metric", "verdict"}))


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
