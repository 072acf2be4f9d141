"""What a sweep knows of its jobs: one file, `sweep.json`, written by the launcher and read by the report.

outputs/sweeps/<time>/sweep.json        any sweep
outputs/searches/<name>/sweep.json      a search: all of its calls together
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from jewelenh.files import lock, write_atomically

JobState = Literal["waiting", "running", "finished", "failed", "stopped", "skipped", "busy", "pruned"]
ENDED = frozenset({"finished", "failed", "stopped", "skipped", "busy", "pruned"})
SWEEP_FILE, SEARCH_FILE, LOCK = "sweep.json", "search.json", ".sweep.lock"
SWEEP_NAME = "JEWELENH_SWEEP"
"""Environment variable: tells a job's process that it is one of a sweep, and the sweep's name."""


@dataclass(frozen=True)
class SweepJob:
    """One job of a sweep, as far as its launcher saw it; what a training measured is in its own directory."""

    number: int
    overrides: tuple[str, ...]
    state: JobState = "waiting"
    directory: str | None = None
    """Where it works, relative to the sweep's directory, so that `outputs` can be moved as a whole."""
    reason: str | None = None
    """Why it did not finish."""
    device: str | None = None
    seconds: float = 0.0
    exit_code: int | None = None
    returned: float | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep and its jobs in order."""

    job: str
    command: str
    """What was typed."""
    at: str
    """When it began, ISO 8601 in UTC."""
    name: str
    jobs: tuple[SweepJob, ...] = ()


def count_states(jobs: Iterable[SweepJob]) -> str:
    """Return how many jobs are in each state: `1 failed, 2 finished`."""
    states = sorted(job.state for job in jobs)
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def read_sweep(sweep_dir: Path) -> Sweep | None:
    """Return the record of a sweep; None where there is none that can be read."""
    try:
        values = json.loads((sweep_dir / SWEEP_FILE).read_text(encoding="utf-8"))
        jobs = [SweepJob(**{**job, "overrides": tuple(job["overrides"])}) for job in values.pop("jobs")]
        return Sweep(**values, jobs=tuple(sorted(jobs, key=lambda job: job.number)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_sweep(sweep_dir: Path, sweep: Sweep) -> None:
    """Write the record, whole."""
    write_atomically(sweep_dir / SWEEP_FILE, (json.dumps(asdict(sweep), indent=1) + "\n").encode())


def add_jobs(sweep_dir: Path, sweep: Sweep, overrides: Sequence[Sequence[str]], first: int = 0) -> list[SweepJob]:
    """Put jobs on the record, which begins as `sweep`, and return them; numbers that it holds already are left out."""
    sweep_dir.mkdir(parents=True, exist_ok=True)
    with lock(sweep_dir / LOCK):
        known = read_sweep(sweep_dir) or sweep
        first = max([first, *(job.number + 1 for job in known.jobs)])
        jobs = [SweepJob(number, tuple(given)) for number, given in enumerate(overrides, first)]
        write_sweep(sweep_dir, replace(known, jobs=(*known.jobs, *jobs)))
    return jobs


def change_job(sweep_dir: Path, number: int, **changes: Any) -> SweepJob:
    """Change what the record says of one job, and return that: launchers, nodes and threads write on one record."""
    with lock(sweep_dir / LOCK):
        known = read_sweep(sweep_dir)
        assert known is not None
        changed = {job.number: replace(job, **changes) if job.number == number else job for job in known.jobs}
        write_sweep(sweep_dir, replace(known, jobs=tuple(changed.values())))
    return changed[number]
