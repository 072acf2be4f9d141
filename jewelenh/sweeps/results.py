"""A sweep read back: its jobs, the runs behind them, and what these measured, by level, settings and seed."""

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
from jewelenh.sweeps.record import Sweep, SweepJob, read_sweep

LEVELS = ("mild", "moderate", "severe", "study")
"""In the order of tables; others follow by name."""
NOT_SETTINGS = frozenset({"seed", "rerun", "busy", "fail_fast"})
RUN_FILE, METRICS_FILE, CURVES = "run.json", "metrics.json", Path("csv") / "metrics.csv"


@dataclass(frozen=True)
class SweepRun:
    """A job of a sweep, with what its directory says of the run; that may have been made by an earlier sweep."""

    job: SweepJob
    directory: Path | None
    about: Mapping[str, Any]
    """Of its run: level, seed, seconds, numbers."""
    settings: str
    """What it has that other jobs of the sweep have not, besides level and seed."""

    @property
    def level(self) -> str:
        """Return its degradation level."""
        return level_of(self.job.overrides, self.about)

    @property
    def seed(self) -> int | None:
        """Return its seed."""
        given = self.about.get("seed", _given(self.job.overrides).get("seed"))
        return None if given is None else int(given)

    @property
    def label(self) -> str:
        """Return level, settings and seed in few words."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        return ", ".join(part for part in (self.level, self.settings, seed) if part)

    @property
    def seconds(self) -> float:
        """Return the time of its training, in all of its tries."""
        return float(self.about.get("seconds") or self.job.seconds)

    @property
    def val_gain_db(self) -> float:
        """Return the gain of the best checkpoint in validation; NaN where there is none."""
        return float(self.about.get("numbers", {}).get("val/gain_db", math.nan))

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """Return the `metrics.json` of the run's test, empty where there is none."""
        content = _json(self.directory / METRICS_FILE) if self.directory and self.job.state == "finished" else {}
        return content if "summary" in content else {}

    def value(self, metric: str, column: str) -> float:
        """Return a number of the test's summary, NaN where there is none."""
        return float(self.metrics.get("summary", {}).get(metric, {}).get(column, math.nan))

    @cached_property
    def curves(self) -> list[Mapping[str, float]]:
        """Return the rows of the run's CSV logs in order, those of earlier tries first."""
        if self.directory is None:
            return []
        last = self.directory / CURVES
        return [row for file in [*sorted(last.parent.glob("before-*.csv")), last] for row in _rows(file)]


@dataclass(frozen=True)
class Group:
    """The runs of one level and one choice of settings: they differ in the seed alone."""

    level: str
    settings: str
    runs: tuple[SweepRun, ...]

    def mean(self, metric: str, column: str) -> float:
        """Return the mean over the seeds."""
        return statistics.fmean(run.value(metric, column) for run in self.runs)

    def spread(self, metric: str, column: str) -> float:
        """Return the sample standard deviation over the seeds, NaN for one."""
        values = [run.value(metric, column) for run in self.runs]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def gains_db(self) -> list[float]:
        """Return the gain in PSNR of every photo that any run was tested on, averaged over versions and seeds."""
        gains: dict[str, list[float]] = {}
        for run in self.runs:
            for photo in run.metrics["photos"]:
                gain = photo["refined"]["psnr_db"] - photo["input"]["psnr_db"]
                gains.setdefault(photo["photo"], []).append(gain)
        return [statistics.fmean(values) for values in gains.values()]

    @property
    def val_gain_db(self) -> float:
        """Return the mean gain in validation."""
        return statistics.fmean(run.val_gain_db for run in self.runs)

    @property
    def minutes(self) -> float:
        """Return the mean time of a run."""
        return statistics.fmean(run.seconds for run in self.runs) / 60


@dataclass(frozen=True)
class SweepResults:
    """A sweep and its runs."""

    sweep_dir: Path
    sweep: Sweep
    runs: tuple[SweepRun, ...]

    @property
    def unfinished(self) -> list[SweepRun]:
        """Return the jobs without a result, the failed ones first."""
        order = {"failed": 0, "stopped": 1, "skipped": 2, "busy": 3}
        bad = [run for run in self.runs if run.job.state != "finished"]
        return sorted(bad, key=lambda run: (order.get(run.job.state, 4), run.job.number))

    @property
    def tested(self) -> list[SweepRun]:
        """Return the runs that were tested as pairs, in the order of tables."""
        return [run for group in self.groups for run in group.runs]

    @cached_property
    def groups(self) -> list[Group]:
        """Return the tested runs by level and settings."""
        found: dict[tuple[str, str], list[SweepRun]] = {}
        for run in self.runs:
            if run.metrics:
                found.setdefault((run.level, run.settings), []).append(run)
        groups = [
            Group(level, settings, tuple(sorted(runs, key=lambda run: run.seed or 0)))
            for (level, settings), runs in found.items()
        ]
        return sorted(groups, key=lambda group: (_rank(group.level), group.runs[0].job.number))


def read_results(sweep_dir: Path) -> SweepResults:
    """Read a sweep and the runs behind its jobs.

    Raises:
        StageError: there is no record of a sweep.
    """
    sweep = read_sweep(sweep_dir)
    if sweep is None or not sweep.jobs:
        raise StageError(
            "There are no jobs of a sweep here.",
            where=sweep_dir,
            expected="sweep.json, as python -m jewelenh.<job> -m leaves it",
            fix="sweep=latest, or the directory that a sweep named",
        )
    directories = {
        job.number: None if job.directory is None else (sweep_dir / job.directory).resolve() for job in sweep.jobs
    }
    about = {
        number: {} if directory is None else _json(directory / RUN_FILE) for number, directory in directories.items()
    }
    settings = settings_of(
        {job.number: job.overrides for job in sweep.jobs},
        {job.number: level_of(job.overrides, about[job.number]) for job in sweep.jobs},
    )
    runs = [SweepRun(job, directories[job.number], about[job.number], settings[job.number]) for job in sweep.jobs]
    return SweepResults(sweep_dir, sweep, tuple(runs))


def settings_of(overrides: Mapping[int, Sequence[str]], levels: Mapping[int, str | None]) -> dict[int, str]:
    """Return per job the overrides in which the jobs differ, without seed and level."""
    values = {number: _given(words) for number, words in overrides.items()}
    keys = list(dict.fromkeys(key for given in values.values() for key in given))
    chosen = []
    for key in keys:
        different = {given.get(key) for given in values.values()}
        by_level = {(values[number].get(key), levels[number]) for number in values}
        tells_the_level = key in {"experiment", "degradation"} and len(by_level) == len(different)
        if len(different) > 1 and key not in NOT_SETTINGS and not tells_the_level:
            chosen.append(key)
    return {
        number: " ".join(f"{_short(key, chosen)}={_rounded(given[key])}" for key in chosen if key in given)
        for number, given in values.items()
    }


def level_of(overrides: Sequence[str], about: Mapping[str, Any]) -> str:
    """Return the level that a run's directory names, else the one that its overrides ask for."""
    given = _given(overrides)
    return str(about.get("level") or given.get("degradation") or given.get("experiment") or "")


def _given(overrides: Sequence[str]) -> dict[str, str]:
    found = (override.partition("=") for override in overrides)
    return {key.lstrip("+~"): value for key, _, value in found}


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


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _rows(file: Path) -> list[Mapping[str, float]]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]
    except (OSError, ValueError, TypeError, AttributeError):
        return []
