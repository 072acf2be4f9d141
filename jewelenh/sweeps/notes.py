"""What a sweep knows of its jobs: a small file in each job's directory, read by the other jobs, the driver, the report.

outputs/train-sweeps/<time>/
    sweep.json      the command, when, how many jobs failed
    <n>/job.json    overrides, state, reason, and where its run lies
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from jewelenh.files import write_atomically

JobState = Literal["waiting", "running", "finished", "failed", "stopped", "skipped", "busy"]
ENDED = frozenset({"finished", "failed", "stopped", "skipped", "busy"})
NOTE, SWEEP = "job.json", "sweep.json"
JOB_DIR, SWEEP_NAME, JOB_LABEL = "JEWELENH_JOB_DIR", "JEWELENH_SWEEP", "JEWELENH_JOB_LABEL"
"""Tell a job's process where its note lies, and what the sweep is called (its group on
W&B), and what its log lines begin with."""


@dataclass(frozen=True)
class JobNote:
    """One job of a sweep."""

    number: int
    job: str
    overrides: tuple[str, ...]
    state: JobState = "waiting"
    level: str | None = None
    seed: int | None = None
    reason: str | None = None
    traceback: str | None = None
    run: str = "."
    """The run's directory, relative to the job's."""
    fingerprint: str | None = None
    returned: float | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    """What a training measured."""
    device: str | None = None
    seconds: float = 0.0
    """From the start of the job, waiting for a device included."""
    trained_s: float | None = None
    """What its run took, in all of its tries."""
    tries: int = 1
    sweep_at: str | None = None
    """When the sweep began: a directory may have seen several."""

    @property
    def command(self) -> str:
        """Return the command that runs this job alone."""
        return " ".join(["python", "-m", f"jewelenh.{self.job}", *self.overrides])


def write_note(job_dir: Path, note: JobNote) -> None:
    """Write a job's note, whole."""
    write_atomically(job_dir / NOTE, (json.dumps(asdict(note), indent=1) + "\n").encode())


def read_note(job_dir: Path) -> JobNote | None:
    """Return a job's note; None where there is none that can be read."""
    try:
        values = json.loads((job_dir / NOTE).read_text(encoding="utf-8"))
        return JobNote(**{**values, "overrides": tuple(values["overrides"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def amend_note(job_dir: Path, **changes: Any) -> None:
    """Change some of a job's note; nothing where there is none, as outside of sweeps."""
    note = read_note(job_dir)
    if note is not None:
        write_note(job_dir, replace(note, **changes))


def began_at(sweep_dir: Path) -> str | None:
    """Return when the sweep under way in this directory began."""
    try:
        return str(json.loads((sweep_dir / SWEEP).read_text(encoding="utf-8"))["at"])
    except (OSError, ValueError, KeyError):
        return None


def notes_of(sweep_dir: Path) -> Iterator[tuple[Path, JobNote]]:
    """Yield the jobs of a sweep in order."""
    found = [(path.parent, read_note(path.parent)) for path in sweep_dir.glob(f"*/{NOTE}")]
    yield from sorted(((place, note) for place, note in found if note), key=lambda pair: pair[1].number)


def relative_run(job_dir: Path, run_dir: Path) -> str:
    """Return a run's directory as seen from a job's, so that `outputs` can be moved as a whole."""
    return os.path.relpath(run_dir, job_dir)
