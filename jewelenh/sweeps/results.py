"""A sweep read back: its jobs, the runs behind them, and what these measured, by level, settings and seed."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jewelenh.errors import StageError
from jewelenh.evaluation.scores import mean_by_photo
from jewelenh.files import read_json
from jewelenh.runs import read_run
from jewelenh.sweeps.record import Sweep, SweepJob, read_sweep

LEVELS = ("mild", "moderate", "severe", "study", "all")
"""In the order of tables; others follow by name, and `none`, photos that were not degraded, at the end."""
FOLD = "pairs.split.fold"
NOT_SETTINGS = frozenset({"seed", FOLD, "rerun", "busy", "fail_fast"})


@dataclass(frozen=True)
class SweepRun:
    """A job of a sweep, with what its directory says of the run; that may have been made by an earlier sweep."""

    job: SweepJob
    directory: Path | None
    about: Mapping[str, Any]
    """Of its run: level, seed, seconds, numbers."""
    settings: str = ""
    """What it has that other jobs of the sweep have not, besides level and seed."""

    @cached_property
    def given(self) -> dict[str, str]:
        """Return its overrides by key."""
        found = (override.partition("=") for override in self.job.overrides)
        return {key.lstrip("+~"): value for key, _, value in found}

    @property
    def level(self) -> str:
        """Return its degradation level: of its run, else the one that it was asked for."""
        return str(self.about.get("level") or self.given.get("degradation") or self.given.get("experiment") or "")

    @property
    def seed(self) -> int | None:
        """Return its seed."""
        given = self.about.get("seed", self.given.get("seed"))
        return None if given is None else int(given)

    @property
    def label(self) -> str:
        """Return level, settings, fold and seed in few words."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        fold = f"fold {self.given[FOLD]}" if FOLD in self.given else ""
        return ", ".join(part for part in (self.level, self.settings, fold, seed) if part)

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
        content = read_json(self.directory / "metrics.json") if self.directory and self.job.state == "finished" else {}
        return content if "summary" in content else {}

    def value(self, metric: str, column: str, table: str = "target") -> float:
        """Return a number of the test's summary against target, the first table, or raw; NaN where there is none."""
        found = self.metrics if table == "target" else self.metrics.get("against", {}).get(table, {})
        return float(found.get("summary", {}).get(metric, {}).get(column, math.nan))

    @cached_property
    def curves(self) -> list[Mapping[str, float]]:
        """Return the rows of the run's CSV log."""
        return [] if self.directory is None else _rows(self.directory / "csv" / "metrics.csv")


@dataclass(frozen=True)
class Group:
    """The runs of one level and one choice of settings: they differ in seed and fold alone."""

    level: str
    settings: str
    runs: tuple[SweepRun, ...]

    def mean(self, metric: str, column: str, table: str = "target") -> float:
        """Return the mean over the seeds."""
        return statistics.fmean(run.value(metric, column, table) for run in self.runs)

    @property
    def by_level(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the mean gains over the seeds by the level they were tested at, as the runs' own tests found them."""
        found: dict[str, dict[str, list[float]]] = {}
        for run in self.runs:
            for level, gains in run.metrics.get("levels", {}).items():
                for key, row in gains.items():
                    found.setdefault(level, {}).setdefault(key, []).append(row["gain"])
        return {at: {key: {"gain": statistics.fmean(values)} for key, values in g.items()} for at, g in found.items()}

    def spread(self, metric: str, column: str) -> float:
        """Return the sample standard deviation over the seeds, NaN for one."""
        values = [run.value(metric, column) for run in self.runs]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def gains_db(self) -> list[float]:
        """Return the gain in PSNR of every photo that any run was tested on (each, with folds), averaged over seeds."""
        photos = [photo for run in self.runs for photo in run.metrics["photos"]]
        gains = [photo["refined"]["psnr_db"] - photo["input"]["psnr_db"] for photo in photos]
        return list(mean_by_photo([photo["photo"] for photo in photos], gains))

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

    sweep: Sweep
    runs: tuple[SweepRun, ...]

    @property
    def unfinished(self) -> list[SweepRun]:
        """Return the jobs without a result, the failed ones first."""
        order = ("failed", "stopped", "skipped", "busy", "waiting", "running")
        bad = [run for run in self.runs if run.job.state in order]
        return sorted(bad, key=lambda run: (order.index(run.job.state), run.job.number))

    @property
    def tested(self) -> list[SweepRun]:
        """Return the runs that were tested as pairs, in the order of tables."""
        return [run for group in self.groups for run in group.runs]

    @cached_property
    def groups(self) -> list[Group]:
        """Return the tested runs by level and settings, each group in the order of its seeds."""
        found: dict[tuple[str, str], list[SweepRun]] = {}
        for run in sorted(self.runs, key=lambda run: (level_rank(run.level), run.job.number)):
            if run.metrics:
                found.setdefault((run.level, run.settings), []).append(run)
        return [Group(*key, tuple(sorted(runs, key=lambda run: run.seed or 0))) for key, runs in found.items()]


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
    runs = []
    for job in sweep.jobs:
        directory = None if job.directory is None else (sweep_dir / job.directory).resolve()
        runs.append(SweepRun(job, directory, {} if directory is None else read_run(directory)))
    keys = _varied(runs)
    return SweepResults(sweep, tuple(replace(run, settings=_settings(run, keys)) for run in runs))


def _varied(runs: Sequence[SweepRun]) -> list[str]:
    """Return the keys in whose values the runs differ, without seed and level."""
    chosen = []
    for key in dict.fromkeys(key for run in runs for key in run.given):
        n_values = len({run.given.get(key) for run in runs})
        n_by_level = len({(run.given.get(key), run.level) for run in runs})
        tells_the_level = key in {"experiment", "degradation"} and n_by_level == n_values
        is_setting = key not in NOT_SETTINGS and not key.startswith("callbacks.prune.")
        if n_values > 1 and is_setting and not tells_the_level:
            chosen.append(key)
    return chosen


def _settings(run: SweepRun, keys: Sequence[str]) -> str:
    return " ".join(f"{_short(key, keys)}={_rounded(run.given[key])}" for key in keys if key in run.given)


def _rounded(value: str) -> str:
    """Return a searched number without the digits that nobody reads."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the end of a dotted key where no other key has the same."""
    ends = [other.rpartition(".")[2] for other in keys]
    end = key.rpartition(".")[2]
    return end if ends.count(end) == 1 else key


def level_rank(level: str) -> tuple[bool, int, str]:
    """Return what levels are sorted by."""
    return level == "none", LEVELS.index(level) if level in LEVELS else len(LEVELS), level


def _rows(file: Path) -> list[Mapping[str, float]]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]
    except (OSError, ValueError, TypeError, AttributeError):
        return []
