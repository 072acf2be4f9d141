"""One result of a sweep: summary.md, summary.csv, and report.html, which needs neither network nor server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jewelenh.evaluation.scores import bootstrap_interval
from jewelenh.files import read_json, write_atomically
from jewelenh.metrics import METRICS, Metric
from jewelenh.reporting.plots import DASHES, Line, chart
from jewelenh.reporting.render import Entry, Table, csv_text, render, row
from jewelenh.reporting.scores import gain_entry, level_table
from jewelenh.sweeps.record import SEARCH_FILE, count_states
from jewelenh.sweeps.results import Group, SweepResults, SweepRun, read_results

PSNR = METRICS["psnr_db"]
FINE = replace(PSNR, digits=3)
"""For gains: the settings of a sweep differ by less than pictures do."""
PARTS = {
    "target": ("input", "refined", "gain", "gain_low", "gain_high", "share_improved"),
    "raw": ("degraded", "input", "refined", "target", "gain", "gain_low", "gain_high", "over_input_gain"),
}
"""Columns of summary.csv by table; those of `raw` begin with its name."""
CURVES = (("val/gain_db", "validation gain, dB"), ("train/loss_epoch", "training loss"))
NOTE = (
    "PSNR of `input` and `refined` against `target` at the served size, on the test photos of each run; what `refined` "
    "gains against `raw` at its own size over `degraded` and over `input`. The interval is a bootstrap over all photos "
    "that any seed was tested on, each averaged over its seeds first; std is that of the runs' mean gains."
)


def write_report(sweep_dir: Path) -> dict[str, Path]:
    """Write the three files into the sweep's directory, which holds its record, and return where they are.

    Raises:
        StageError: there is no sweep there, or nothing can be written.
    """
    results = read_results(sweep_dir)
    shown = {
        "title": f"{sweep_dir.parent.name}/{sweep_dir.name}",
        "headline": f"{len(results.runs)} jobs: {count_states(results.sweep.jobs)}",
        "command": results.sweep.command,
        "note": NOTE,
        "failures": failure_table(results),
        "groups": group_table(results),
        "levels": level_table(
            [(f"{group.level} {group.settings}".strip(), group.by_level) for group in results.groups]
        ),
        "jobs": job_table(results),
        "search": search_tables(sweep_dir),
    }
    contents = {
        "summary.md": render("sweep.md", **shown),
        "summary.csv": csv_text(records(results)),
        "report.html": render("sweep.html", **shown, charts=charts(results)),
    }
    for name, text in contents.items():
        write_atomically(sweep_dir / name, text.encode("utf-8", "surrogateescape"))
    return {name: sweep_dir / name for name in contents}


def measured(results: SweepResults) -> list[Metric]:
    """Return the metrics that any run was tested by."""
    names = {name for run in results.runs for name in run.metrics.get("summary", {})}
    return [metric for metric in METRICS.values() if metric.name in names]


def failure_table(results: SweepResults) -> Table:
    """Return state, what it was, reason and traceback of every job without a result."""
    rows = []
    for run in results.unfinished:
        reason = run.job.reason or "no word from it: its process is running, or was killed with the sweep"
        place, link = f"{run.job.directory}/traceback.txt", Entry("")
        if run.directory is not None and (run.directory / "traceback.txt").is_file():
            link = Entry(place, href=place)
        rows.append(row(run.job.number, Entry(run.job.state, tone="worse"), run.label, reason, link))
    columns = ["job", "state", "what", "reason", "traceback"]
    return Table("Jobs that left no result", columns, rows, frozenset(columns))


def search_tables(sweep_dir: Path) -> list[Table]:
    """Return what mattered and what was best in a search, and its trials, the best first; none for another sweep."""
    found = read_json(sweep_dir / SEARCH_FILE)
    if not found:
        return []
    best, shares = found["best"] or {"number": None, "params": {}}, found["importances"]
    keys = sorted(best["params"], key=lambda key: -shares.get(key, 0.0))
    mattered = [row(key, best["params"][key], f"{shares[key]:.2f}" if key in shares else "-") for key in keys]
    ranked = sorted(found["trials"], key=lambda trial: (trial["state"] != "COMPLETE", -(trial["value"] or 0.0)))
    trials = [
        row(one["number"], one["state"].lower(), "-" if one["value"] is None else f"{one['value']:.4f}", *map(str, (
            one["params"].get(key, "-") for key in keys)))
        for one in ranked
    ]  # fmt: skip
    title = f"The best is trial {best['number']}; what mattered"
    return [
        Table(title, ["setting", "best", "importance"], mattered, frozenset({"setting"})),
        Table("Trials", ["trial", "state", "value", *keys], trials, frozenset({"state"})),
    ]


def group_table(results: SweepResults) -> Table:
    """Return a row for each level and choice of settings, over its seeds."""
    others = [metric for metric in measured(results) if metric is not PSNR]
    changes = [f"{metric.title} {'gain' if metric.higher_is_better else 'change'}" for metric in others]
    columns = [
        "level", "settings", "seeds", "input, dB", "refined, dB", "gain, dB (mean ± std over seeds)",
        "95 % interval over photos", "photos improved", "against raw over degraded, dB", "over input, dB", *changes,
        "validation gain, dB", "minutes a run",
    ]  # fmt: skip
    rows = [_group_row(group, others) for group in results.groups]
    return Table("A row for each level and choice of settings", columns, rows, frozenset({"settings", "seeds"}))


def _group_row(group: Group, others: Sequence[Metric]) -> list[Entry]:
    gains = group.gains_db()
    low, high = bootstrap_interval(gains)
    verdict, spread = PSNR.verdict(low, high), group.spread("psnr_db", "gain")
    gain = FINE.text(group.mean("psnr_db", "gain"), sign=True) + ("" if math.isnan(spread) else f" ± {spread:.3f}")
    return row(
        group.level,
        group.settings or "-",
        ", ".join(str(run.seed) for run in group.runs),
        *(PSNR.text(group.mean("psnr_db", image)) for image in ("input", "refined")),
        Entry(gain, tone="" if verdict == "unclear" else verdict),
        FINE.interval(low, high),
        f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        *(gain_entry(PSNR, group.mean("psnr_db", gain, "raw")) for gain in ("gain", "over_input_gain")),
        *(metric.text(group.mean(metric.name, "gain"), sign=True) for metric in others),
        FINE.text(group.val_gain_db, sign=True),
        f"{group.minutes:.1f}",
    )


def records(results: SweepResults) -> list[dict[str, Any]]:
    """Return the lines of summary.csv: for each job all that its test measured, NaN where there is nothing."""
    columns = [(table, metric.name, part) for table in PARTS for metric in measured(results) for part in PARTS[table]]
    return [
        {
            "job": run.job.number,
            "level": run.level,
            "settings": run.settings,
            "seed": run.seed,
            "state": run.job.state,
            "reason": run.job.reason,
            "run": run.directory,
            "trained_s": run.seconds,
            "val_gain_db": run.val_gain_db,
            **{
                f"{'' if table == 'target' else f'{table}_'}{metric}_{part}": run.value(metric, part, table)
                for table, metric, part in columns
            },
        }
        for run in results.runs
    ]


def job_table(results: SweepResults) -> Table:
    """Return a row for each job."""
    rows = []
    for run in results.runs:
        gain, low, high = (run.value("psnr_db", part) for part in ("gain", "gain_low", "gain_high"))
        numbers = [FINE.text(gain, sign=True), FINE.interval(low, high), FINE.text(run.val_gain_db, sign=True)]
        place = run.job.directory if run.job.state == "finished" else None
        rows.append(row(run.job.number, run.level, run.settings or "-", run.seed, run.job.state, *numbers, place or ""))
    columns = ["job", "level", "settings", "seed", "state", "gain, dB", "95 % interval", "validation gain, dB", "run"]
    return Table("All jobs", columns, rows, frozenset({"level", "settings", "state", "run"}))


def charts(results: SweepResults) -> list[tuple[str, list[Line]]]:
    """Return for each level a chart of the validation gain and one of the loss, with the lines of their legends."""
    found: list[tuple[str, list[Line]]] = []
    for level in dict.fromkeys(run.level for run in results.runs):
        runs = [run for run in results.runs if run.level == level]
        for column, what in CURVES:
            lines = _lines(runs, column)
            if lines:
                found.append((chart(f"{level}: {what}", lines, f"chart-{len(found)}"), lines))
    return found


def _lines(runs: Sequence[SweepRun], column: str) -> list[Line]:
    """Return a curve for each run: a colour for its settings, a dash for its seed."""
    settings = list(dict.fromkeys(run.settings for run in runs))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    lines = []
    for run in runs:
        by_epoch = {row["epoch"] + 1: row[column] for row in run.curves if column in row and "epoch" in row}
        points = [(epoch, value) for epoch, value in sorted(by_epoch.items()) if math.isfinite(value)]
        if points:
            series, dash = settings.index(run.settings), seeds.index(run.seed)
            if len(settings) == 1:
                series, dash = dash, 0
            lines.append(Line(run.label, points, series, DASHES[dash % len(DASHES)]))
    return lines
