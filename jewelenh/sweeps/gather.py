"""A sweep directory read back: its jobs, their runs, and what these measured, by level, settings and seed."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jewelenh.errors import StageError
from jewelenh.sweeps.notes import SWEEP, JobNote, notes_of

CURVES = "csv/metrics.csv"
LEVELS = ("mild", "moderate", "severe", "study")
"""In the order of tables; others follow by name."""
NOT_SETTINGS = frozenset({"seed", "rerun", "busy", "fail_fast"})


@dataclass(frozen=True)
class Result:
    """A job of a sweep, and its run."""

    job_dir: Path
    note: JobNote
    settings: str
    """What it has that other jobs of the sweep have not, besides level and seed."""

    @property
    def run_dir(self) -> Path:
        """Return where its run lies, which may be in the directory of an earlier sweep."""
        return (self.job_dir / self.note.run).resolve()

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """Return the `metrics.json` of the run's test, empty where there is none."""
        if self.note.state != "finished":
            return {}
        try:
            content = json.loads((self.run_dir / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) and "summary" in content else {}

    def value(self, metric: str, column: str) -> float:
        """Return a number of the test's summary, not a number where there is none."""
        return float(self.metrics.get("summary", {}).get(metric, {}).get(column, math.nan))

    @property
    def val_gain_db(self) -> float:
        """Return the gain of the best checkpoint in validation."""
        return float(self.note.numbers.get("val/gain_db", math.nan))

    @cached_property
    def curves(self) -> list[Mapping[str, float]]:
        """Return the rows of the run's CSV logs in order, those of earlier tries first."""
        last = self.run_dir / CURVES
        return [row for file in [*sorted(last.parent.glob("before-*.csv")), last] for row in _rows(file)]

    @property
    def label(self) -> str:
        """Return level, settings and seed in few words."""
        return ", ".join(part for part in (self.note.level, self.settings, f"seed {self.note.seed}") if part)


@dataclass(frozen=True)
class Group:
    """The runs of one level and one choice of settings: they differ in the seed alone."""

    level: str
    settings: str
    results: tuple[Result, ...]

    def mean(self, metric: str, column: str) -> float:
        """Return the mean over the seeds."""
        return statistics.fmean(result.value(metric, column) for result in self.results)

    def spread(self, metric: str, column: str) -> float:
        """Return the sample standard deviation over the seeds, not a number for one."""
        values = [result.value(metric, column) for result in self.results]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def gains_db(self) -> list[float]:
        """Return the gain in PSNR of every photo that any run was tested on, averaged over versions and seeds."""
        gains: dict[str, list[float]] = {}
        for result in self.results:
            for photo in result.metrics["photos"]:
                gain = photo["refined"]["psnr_db"] - photo["input"]["psnr_db"]
                gains.setdefault(photo["photo"], []).append(gain)
        return [statistics.fmean(values) for values in gains.values()]

    @property
    def val_gain_db(self) -> float:
        """Return the mean gain in validation."""
        return statistics.fmean(result.val_gain_db for result in self.results)

    @property
    def minutes(self) -> float:
        """Return the mean time of a run."""
        return statistics.fmean(_seconds(result.note) for result in self.results) / 60


@dataclass(frozen=True)
class SweepResults:
    """A sweep."""

    sweep_dir: Path
    about: Mapping[str, Any]
    results: tuple[Result, ...]

    @property
    def command(self) -> str:
        """Return what was typed."""
        return " ".join(
            ["python", "-m", f"jewelenh.{self.about.get('job', 'train')}", *self.about.get("command", [])[1:]]
        )

    @property
    def unfinished(self) -> list[Result]:
        """Return the jobs without a result, the failed ones first."""
        order = {"failed": 0, "stopped": 1, "skipped": 2, "busy": 3}
        bad = [result for result in self.results if result.note.state != "finished"]
        return sorted(bad, key=lambda result: (order.get(result.note.state, 4), result.note.number))

    @property
    def tested(self) -> list[Result]:
        """Return the runs that were tested as pairs, in the order of tables."""
        return [result for group in self.groups for result in group.results]

    @cached_property
    def groups(self) -> list[Group]:
        """Return the tested runs by level and settings."""
        found: dict[tuple[str, str], list[Result]] = {}
        for result in self.results:
            if result.metrics:
                found.setdefault((result.note.level or "", result.settings), []).append(result)
        groups = [
            Group(level, settings, tuple(sorted(results, key=lambda result: result.note.seed or 0)))
            for (level, settings), results in found.items()
        ]
        return sorted(groups, key=lambda group: (_rank(group.level), group.results[0].note.number))


def gather(sweep_dir: Path) -> SweepResults:
    """Read a sweep directory.

    Raises:
        StageError: there are no jobs in it.
    """
    notes = list(notes_of(sweep_dir))
    if not notes:
        raise StageError(
            "There are no jobs of a sweep here.",
            where=sweep_dir,
            expected="<n>/job.json, as python -m jewelenh.<job> -m leaves it",
            fix="sweep=latest, or the directory that a sweep named",
        )
    try:
        about = json.loads((sweep_dir / SWEEP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = {}
    settings = settings_of([note for _, note in notes])
    results = tuple(Result(place, note, settings[note.number]) for place, note in notes)
    return SweepResults(sweep_dir, about, results)


def settings_of(notes: Sequence[JobNote]) -> dict[int, str]:
    """Return per job the overrides in which the jobs differ, without seed and level."""
    values = {note.number: dict(_split(override) for override in note.overrides) for note in notes}
    keys = list(dict.fromkeys(key for given in values.values() for key in given))
    chosen = []
    for key in keys:
        different = {given.get(key) for given in values.values()}
        levels = {(values[note.number].get(key), note.level) for note in notes}
        tells_the_level = key in {"experiment", "degradation"} and len(levels) == len(different)
        if len(different) > 1 and key not in NOT_SETTINGS and not tells_the_level:
            chosen.append(key)
    return {
        number: " ".join(f"{_short(key, chosen)}={_rounded(given[key])}" for key in chosen if key in given)
        for number, given in values.items()
    }


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _rounded(value: str) -> str:
    """Return a searched number without the digits that nobody reads."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the end of a dotted key that is enough to tell it from the others."""
    parts = key.split(".")
    for n_parts in range(1, len(parts)):
        end = ".".join(parts[-n_parts:])
        if sum(other.endswith(end) for other in keys) == 1:
            return end
    return key


def _rank(level: str) -> tuple[int, str]:
    return (LEVELS.index(level) if level in LEVELS else len(LEVELS), level)


def _seconds(note: JobNote) -> float:
    return note.seconds if note.trained_s is None else note.trained_s


def _rows(file: Path) -> list[Mapping[str, float]]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]
    except (OSError, ValueError, TypeError, AttributeError):
        return []
