"""A sweep as tables: Markdown to read, CSV to go on with."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence

from jewelenh.evaluation.scores import bootstrap_interval
from jewelenh.sweeps.gather import Group, Result, SweepResults

GROUP_COLUMNS = (
    "level", "settings", "seeds", "input, dB", "refined, dB", "gain, dB (mean ± std over seeds)",
    "95 % interval over photos", "photos improved", "SSIM gain", "CIEDE2000 change", "validation gain, dB",
    "minutes a run",
)  # fmt: skip
RUN_COLUMNS = (
    "job",
    "level",
    "settings",
    "seed",
    "state",
    "gain, dB",
    "95 % interval",
    "validation gain, dB",
    "tries",
    "run",
)
FAILURE_COLUMNS = ("job", "state", "what", "reason", "traceback")
CSV_METRICS = ("psnr_db", "ssim", "ms_ssim", "ciede2000")
CSV_PARTS = ("input", "refined", "gain", "gain_low", "gain_high", "share_improved")


def headline(sweep: SweepResults) -> str:
    """Return how many jobs ended how."""
    states = [result.note.state for result in sweep.results]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return f"{len(states)} jobs: {counts}"


def failure_rows(sweep: SweepResults) -> list[tuple[str, ...]]:
    """Return job, state, what it was, reason and traceback file of every job without a result."""
    return [
        (
            str(result.note.number),
            result.note.state,
            result.label,
            result.note.reason or "no word from it: its process is running, or was killed with the sweep",
            "" if result.note.traceback is None else f"{result.job_dir.name}/{result.note.traceback}",
        )
        for result in sweep.unfinished
    ]


def group_rows(sweep: SweepResults) -> list[tuple[str, ...]]:
    """Return a row for each level and choice of settings."""
    return [_group_row(group) for group in sweep.groups]


def _group_row(group: Group) -> tuple[str, ...]:
    gains = group.gains_db()
    low, high = bootstrap_interval(gains)
    spread = group.spread("psnr_db", "gain")
    gain = f"{group.mean('psnr_db', 'gain'):+.3f}" + ("" if math.isnan(spread) else f" ± {spread:.3f}")
    return (
        group.level,
        group.settings or "-",
        ", ".join(str(result.note.seed) for result in group.results),
        number(group.mean("psnr_db", "input"), ".2f"),
        number(group.mean("psnr_db", "refined"), ".2f"),
        gain,
        f"{low:+.3f} to {high:+.3f}",
        f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        number(group.mean("ssim", "gain"), "+.4f"),
        number(group.mean("ciede2000", "gain"), "+.3f"),
        number(group.val_gain_db, "+.3f"),
        number(group.minutes, ".1f"),
    )


def run_rows(sweep: SweepResults) -> list[tuple[str, ...]]:
    """Return a row for each job."""
    return [_run_row(result) for result in sweep.results]


def _run_row(result: Result) -> tuple[str, ...]:
    note = result.note
    low, high = result.value("psnr_db", "gain_low"), result.value("psnr_db", "gain_high")
    return (
        str(note.number),
        note.level or "",
        result.settings or "-",
        str(note.seed),
        note.state,
        number(result.value("psnr_db", "gain"), "+.3f"),
        "" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}",
        number(result.val_gain_db, "+.3f"),
        str(note.tries),
        os.path.relpath(result.run_dir, result.job_dir.parent) if note.state == "finished" else "",
    )


def number(value: float, form: str) -> str:
    """Return a number in a form, and a dash for none."""
    return "-" if math.isnan(value) else format(value, form)


def markdown(sweep: SweepResults) -> str:
    """Return summary.md: failures first."""
    parts = [f"# {sweep.sweep_dir.parent.name}/{sweep.sweep_dir.name}", headline(sweep), f"```sh\n{sweep.command}\n```"]
    if sweep.unfinished:
        parts += [
            "## Without a result",
            _table(FAILURE_COLUMNS, failure_rows(sweep)),
        ]
    if sweep.groups:
        parts += ["## Results", _table(GROUP_COLUMNS, group_rows(sweep)), NOTE]
    parts += ["## Jobs", _table(RUN_COLUMNS, run_rows(sweep))]
    return "\n\n".join(parts) + "\n"


NOTE = (
    "PSNR of `input` and `refined` against `target`, on the test photos of each run. The interval is a bootstrap over "
    "all photos that any seed was tested on, each averaged over its seeds first; std is that of the runs' mean gains."
)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def csv_text(sweep: SweepResults) -> str:
    """Return summary.csv: a line for each job, with all that its test measured."""
    buffer = io.StringIO()
    measured = [f"{metric}_{part}" for metric in CSV_METRICS for part in CSV_PARTS]
    head = [
        "job",
        "level",
        "settings",
        "seed",
        "state",
        "reason",
        "fingerprint",
        "run",
        "tries",
        "trained_s",
        "val_gain_db",
    ]
    writer = csv.writer(buffer)
    writer.writerow([*head, *measured])
    for result in sweep.results:
        note = result.note
        writer.writerow([
            *(note.number, note.level, result.settings, note.seed, note.state, note.reason, note.fingerprint),
            *(result.run_dir, note.tries, note.trained_s, _or_nothing(result.val_gain_db), *_measured(result)),
        ])  # fmt: skip
    return buffer.getvalue()


def _measured(result: Result) -> Iterator[str]:
    for metric in CSV_METRICS:
        for part in CSV_PARTS:
            yield _or_nothing(result.value(metric, part))


def _or_nothing(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
