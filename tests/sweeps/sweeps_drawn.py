"""Trainings of a few seconds on drawn photos, and a sweep directory as jobs leave it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests_drawn import chain_overrides

from jewelenh.sweeps.record import SweepJob, read_sweep


def small(photos: Path, weights: Path) -> list[str]:
    """Return overrides for a training of one epoch and three steps."""
    return [
        "+experiment=mild",
        *chain_overrides(photos, weights),
        "data.crop=32", "data.batch_size=4", "data.crops_per_photo=1", "data.eval_crop=null",
        "model.network.features=4", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.precision=32-true",
        "logger=csv", "callbacks.panel=null",
    ]  # fmt: skip


def start(folder: Path, job: str, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start a job as a user would, in a process group of its own, with what it says in out.txt."""
    told = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1", "TMPDIR": str(folder), **environment}
    with (folder / "out.txt").open("a") as out:
        return subprocess.Popen(
            [sys.executable, "-m", f"jewelenh.{job}", *words],
            cwd=folder, env={**os.environ, **told}, stdout=out, stderr=out, text=True, start_new_session=True,
        )  # fmt: skip


def jobs(sweep_dir: Path) -> dict[int, SweepJob]:
    """Return the jobs on a sweep's record."""
    sweep = read_sweep(sweep_dir)
    assert sweep is not None
    return {job.number: job for job in sweep.jobs}


def directory(sweep_dir: Path, number: int) -> Path:
    """Return where a job worked."""
    return (sweep_dir / str(jobs(sweep_dir)[number].directory)).resolve()


def sweeps(folder: Path) -> list[Path]:
    """Return the sweeps in order."""
    return sorted((folder / "outputs" / "sweeps").iterdir())


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a driver and all that it started, as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
