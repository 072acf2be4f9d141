"""One result of a sweep: summary.md, summary.csv, and report.html, which needs neither network nor server."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jewelenh.errors import JewelenhError
from jewelenh.evaluation.photos import read_pixels
from jewelenh.evaluation.scores import bootstrap_interval
from jewelenh.files import write_atomically
from jewelenh.manifest import sha256_of
from jewelenh.metrics import METRICS, Metric
from jewelenh.pairs.contract import Pair, PairsManifest, read_pairs
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.reporting.pictures import data_uri
from jewelenh.reporting.plots import DASHES, Chart, Line, chart
from jewelenh.reporting.render import Entry, Table, render
from jewelenh.restoration.restorer import Restorer
from jewelenh.runs import BEST, CHECKPOINTS
from jewelenh.sweeps.results import Group, SweepResults, SweepRun, read_results

log = logging.getLogger(__name__)

PSNR = METRICS["psnr_db"]
PARTS = ("input", "refined", "gain", "gain_low", "gain_high", "share_improved")
CURVES = (("val/gain_db", "validation gain, dB"), ("train/loss_epoch", "training loss"))
SIDE_PX, QUALITY = 260, 85
MOST_RUNS = 24
"""Beside each other in pictures: the first of the table."""
NOTE = (
    "PSNR of `input` and `refined` against `target`, on the test photos of each run. The interval is a bootstrap over "
    "all photos that any seed was tested on, each averaged over its seeds first; std is that of the runs' mean gains."
)


def write_report(sweep_dir: Path, photos: int = 3) -> dict[str, Path]:
    """Write the three files into the sweep's directory and return where they are; `photos` are shown in every run.

    Raises:
        StageError: there is no sweep there, or nothing can be written.
    """
    results = read_results(sweep_dir)
    shown = {
        "title": f"{sweep_dir.parent.name}/{sweep_dir.name}",
        "headline": headline(results),
        "command": results.sweep.command,
        "note": NOTE,
        "failures": failure_table(results),
        "groups": group_table(results),
        "jobs": job_table(results),
    }
    contents = {
        "summary.md": render("sweep.md", **shown),
        "summary.csv": csv_text(results),
        "report.html": render(
            "sweep.html", **shown, charts=charts(results), photos=same_photos(results, photos) if photos else []
        ),
    }
    for name, text in contents.items():
        write_atomically(sweep_dir / name, text.encode("utf-8", "surrogateescape"))
    return {name: sweep_dir / name for name in contents}


def headline(results: SweepResults) -> str:
    """Return how many jobs ended how."""
    counts = ", ".join(f"{n} {state}" for state, n in results.sweep.counts().items())
    return f"{len(results.runs)} jobs: {counts}"


def measured(results: SweepResults) -> list[Metric]:
    """Return the metrics that any run was tested by."""
    return [
        metric for metric in METRICS.values() if any(metric.name in r.metrics.get("summary", {}) for r in results.runs)
    ]


def failure_table(results: SweepResults) -> Table:
    """Return state, what it was, reason and traceback of every job without a result."""
    rows = []
    for run in results.unfinished:
        reason = run.job.reason or "no word from it: its process is running, or was killed with the sweep"
        file = None if run.directory is None else run.directory / "traceback.txt"
        link = Entry("")
        if file is not None and file.is_file():
            place = Path(run.job.directory or "") / file.name
            link = Entry(place.as_posix(), href=place.as_posix())
        rows.append([
            Entry(str(run.job.number)), Entry(run.job.state, tone="worse"), Entry(run.label), Entry(reason), link,
        ])  # fmt: skip
    columns = ["job", "state", "what", "reason", "traceback"]
    return Table("Jobs that left no result", columns, rows, frozenset(columns))


def group_table(results: SweepResults) -> Table:
    """Return a row for each level and choice of settings, over its seeds."""
    others = [metric for metric in measured(results) if metric is not PSNR]
    changes = [f"{metric.title} {'gain' if metric.higher_is_better else 'change'}" for metric in others]
    columns = [
        "level", "settings", "seeds", "input, dB", "refined, dB", "gain, dB (mean ± std over seeds)",
        "95 % interval over photos", "photos improved", *changes, "validation gain, dB", "minutes a run",
    ]  # fmt: skip
    rows = [_group_row(group, others) for group in results.groups]
    return Table("A row for each level and choice of settings", columns, rows, frozenset({"settings", "seeds"}))


def _group_row(group: Group, others: Sequence[Metric]) -> list[Entry]:
    gains = group.gains_db()
    low, high = bootstrap_interval(gains)
    spread = group.spread("psnr_db", "gain")
    verdict = PSNR.verdict(low, high)
    return [
        Entry(group.level),
        Entry(group.settings or "-"),
        Entry(", ".join(str(run.seed) for run in group.runs)),
        Entry(PSNR.text(group.mean("psnr_db", "input"))),
        Entry(PSNR.text(group.mean("psnr_db", "refined"))),
        Entry(
            number(group.mean("psnr_db", "gain"), "+.3f") + ("" if math.isnan(spread) else f" ± {spread:.3f}"),
            tone="" if verdict == "unclear" else verdict,
        ),
        Entry(f"{number(low, '+.3f')} to {number(high, '+.3f')}"),
        Entry(f"{sum(gain > 0 for gain in gains)} of {len(gains)}"),
        *(Entry(metric.text(group.mean(metric.name, "gain"), sign=True)) for metric in others),
        Entry(number(group.val_gain_db, "+.3f")),
        Entry(number(group.minutes, ".1f")),
    ]


def job_table(results: SweepResults) -> Table:
    """Return a row for each job."""
    rows = []
    for run in results.runs:
        low, high = run.value("psnr_db", "gain_low"), run.value("psnr_db", "gain_high")
        rows.append([
            Entry(str(run.job.number)),
            Entry(run.level),
            Entry(run.settings or "-"),
            Entry(str(run.seed)),
            Entry(run.job.state),
            Entry(number(run.value("psnr_db", "gain"), "+.3f")),
            Entry("" if math.isnan(low) else f"{number(low, '+.3f')} to {number(high, '+.3f')}"),
            Entry(number(run.val_gain_db, "+.3f")),
            Entry((run.job.directory or "") if run.job.state == "finished" else ""),
        ])  # fmt: skip
    columns = ["job", "level", "settings", "seed", "state", "gain, dB", "95 % interval", "validation gain, dB", "run"]
    return Table("All jobs", columns, rows, frozenset({"level", "settings", "state", "run"}))


def number(value: float, form: str) -> str:
    """Return a number in a form, and a dash for none."""
    return "-" if math.isnan(value) else format(value, form).replace("-", "−")


def csv_text(results: SweepResults) -> str:
    """Return summary.csv: a line for each job, with all that its test measured."""
    columns = [(metric.name, part) for metric in measured(results) for part in PARTS]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    head = ["job", "level", "settings", "seed", "state", "reason", "run", "trained_s", "val_gain_db"]
    writer.writerow([*head, *(f"{metric}_{part}" for metric, part in columns)])
    for run in results.runs:
        job = run.job
        about = [job.number, run.level, run.settings, run.seed, job.state, job.reason, run.directory, run.seconds]
        values = [run.val_gain_db, *(run.value(metric, part) for metric, part in columns)]
        writer.writerow([*about, *("" if math.isnan(value) else f"{value:.6f}" for value in values)])
    return buffer.getvalue()


def charts(results: SweepResults) -> list[Chart]:
    """Return for each level a chart of the validation gain and one of the loss."""
    found: list[Chart] = []
    for level in dict.fromkeys(run.level for run in results.runs):
        runs = [run for run in results.runs if run.level == level]
        for column, what in CURVES:
            lines = _lines(runs, column)
            if lines:
                found.append(chart(f"{level}: {what}", lines, f"chart-{len(found)}"))
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


def same_photos(results: SweepResults, n_photos: int) -> list[dict[str, Any]]:
    """Return the photos that most runs were tested on, in all of these; none where their pairs are gone."""
    runs = results.tested[:MOST_RUNS]
    if len(results.tested) > MOST_RUNS:
        log.info("the pictures show the first %d of %d runs", MOST_RUNS, len(results.tested))
    chosen = chosen_photos(runs, n_photos)
    found: dict[str, dict[str, Any]] = {
        photo: {"photo": photo, "target": None, "runs": [], "n_runs": len(runs)} for photo in chosen
    }
    for run in runs:
        try:
            _add_pictures(run, found)
        except JewelenhError as error:
            log.warning("no pictures of job %d: %s", run.job.number, error.what)
    return [photo for photo in found.values() if photo["target"] is not None]


def chosen_photos(runs: Sequence[SweepRun], n_photos: int) -> list[str]:
    """Return the photos that most runs were tested on; among equals a fixed choice that no result decides."""
    n_runs = Counter(photo for run in runs for photo in {photo["photo"] for photo in run.metrics["photos"]})
    ranked = sorted(n_runs, key=lambda photo: (-n_runs[photo], sha256_of(photo.encode("utf-8", "surrogateescape"))))
    return ranked[:n_photos]


def _add_pictures(run: SweepRun, found: dict[str, dict[str, Any]]) -> None:
    """Refine those of the photos that are in this run's test."""
    assert run.directory is not None
    checkpoint = read_checkpoint(run.directory / CHECKPOINTS / BEST)
    pairs = read_pairs(checkpoint.pairs_dir)
    restorer = Restorer(checkpoint.network(), checkpoint.enhancer)
    for pair in _first_versions(pairs, list(found)):
        _, input, target = next(read_pixels(pairs, [pair]))
        shown = found[pair.photo]
        shown["target"] = shown["target"] or data_uri(target, QUALITY, SIDE_PX)
        score = next(photo for photo in run.metrics["photos"] if photo["stem"] == pair.stem)
        gain = score["refined"]["psnr_db"] - score["input"]["psnr_db"]
        shown["runs"].append({
            "label": run.label,
            "input": data_uri(input, QUALITY, SIDE_PX),
            "refined": data_uri(restorer.refine(input), QUALITY, SIDE_PX),
            "gain": PSNR.text(gain, sign=True, unit=True),
            "tone": "better" if gain > 0 else "worse",
        })  # fmt: skip


def _first_versions(pairs: PairsManifest, photos: Sequence[str]) -> list[Pair]:
    found: dict[str, Pair] = {}
    for pair in pairs.split("test"):
        if pair.photo in photos:
            found.setdefault(pair.photo, pair)
    return list(found.values())
