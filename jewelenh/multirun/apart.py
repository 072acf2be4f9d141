"""A job under `-m`: a process of its own, on a device of its own, noted from beginning to end.

Whatever Hydra launcher calls the job function (the built-in one, joblib, submitit, Ray), it calls `run_apart`, which
waits for a device, starts `python -m jewelenh.<job> <its overrides>`, and writes down how that ends. So a crash,
or memory that ran out, takes one job with it, and the next job in the same worker may have another GPU.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig

from jewelenh.errors import BusyError, ConfigError, JewelenhError, StoppedError
from jewelenh.multirun.claim import known_result, note_run, objective_of
from jewelenh.sweeps.gpus import visible_gpus
from jewelenh.sweeps.leases import lease_dir, leased
from jewelenh.sweeps.notes import (
    JOB_DIR,
    JOB_LABEL,
    SWEEP_NAME,
    JobNote,
    amend_note,
    began_at,
    notes_of,
    read_note,
    write_note,
)
from jewelenh.sweeps.processes import run_process

log = logging.getLogger(__name__)

ON_CORES = frozenset({"fetch", "degrade", "report"})
"""Jobs that never use a GPU."""
OF_THE_SWEEP = (
    "hydra/launcher",
    "hydra.launcher",
    "hydra/sweeper",
    "hydra.sweeper",
    "hydra.sweep.",
    "hydra.mode",
    "hydra.run.",
)
"""Overrides that one job alone must not repeat."""
TRACEBACK = "traceback.txt"


class JobFailedError(JewelenhError):
    """A job of a sweep has failed, and said so."""


def is_job_of_sweep() -> bool:
    """Say whether Hydra runs this as one job of several."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def run_apart(name: str, cfg: DictConfig) -> float:
    """Run one job of a sweep in a process of its own and return what it returned; not a number where it failed.

    Raises:
        JobFailedError: it failed, and the sweeper is one that wants to know. Hydra's own would stop the sweep.
    """
    hydra = HydraConfig.get()
    job_dir = Path(hydra.runtime.output_dir)
    level = cfg.degradation.name if "degradation" in cfg else None
    overrides, at = tuple(hydra.overrides.task), began_at(job_dir.parent)
    write_note(job_dir, JobNote(int(hydra.job.num), name, overrides, level=level, seed=cfg.get("seed"), sweep_at=at))
    started_s = time.monotonic()
    try:
        code = _wait_and_run(name, cfg, job_dir)
    except (JewelenhError, OSError) as error:
        code = error.exit_code if isinstance(error, JewelenhError) else 1
        log.error("%s: %s", type(error).__name__, error)
        note_failure(error, job_dir)
    amend_note(job_dir, seconds=round(time.monotonic() - started_s, 1), **_ending(code, job_dir))
    note = read_note(job_dir)
    assert note is not None
    if note.state != "finished" and "basic_sweeper" not in str(hydra.sweeper["_target_"]):
        raise JobFailedError(f"Job {note.number} {note.state}: {note.reason}", where=job_dir)
    return math.nan if note.returned is None else note.returned


def _wait_and_run(name: str, cfg: DictConfig, job_dir: Path) -> int:
    """Return the exit code of the job's process.

    Raises:
        ConfigError: the configuration asks for what a job of a sweep cannot have.
        StoppedError: another job failed, and `fail_fast` is set.
    """
    _refuse_many_devices(cfg)
    known = known_result(cfg) if name == "train" else None
    if known is not None:
        note_run(known, job_dir)
        amend_note(job_dir, returned=objective_of(known, cfg.objective))
        return 0
    at = began_at(job_dir.parent)
    failed = [note for _, note in notes_of(job_dir.parent) if note.state == "failed" and note.sweep_at == at]
    if cfg.fail_fast and failed:
        raise StoppedError(f"fail_fast: job {failed[0].number} failed", exit_code=SKIPPED)
    gpus = [] if name in ON_CORES else visible_gpus(cfg.lease.gpus)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    with leased(gpus, cores, _n_cores(cfg, len(cores)), lease_dir()) as share:
        amend_note(job_dir, state="running", device=share.name)
        sweep = {JOB_DIR: str(job_dir), SWEEP_NAME: job_dir.parent.name, JOB_LABEL: f"[{HydraConfig.get().job.num}] "}
        return run_process(_command(name, job_dir), {**os.environ, **share.environment(), **sweep}, share.locks)


SKIPPED = 76


def _refuse_many_devices(cfg: DictConfig) -> None:
    """Lightning starts the processes of several devices itself, which several jobs at once cannot share."""
    trainer = cfg.get("trainer")
    if trainer is None:
        return
    devices, n_nodes = trainer.get("devices", "auto"), trainer.get("num_nodes", 1)
    if _n_devices(devices) > 1 or n_nodes > 1:
        raise ConfigError(
            "A job of a sweep trains in one process on one device.",
            expected="trainer.devices=1 or auto, trainer.num_nodes=1",
            found=f"trainer.devices={devices}, trainer.num_nodes={n_nodes}",
            fix="several devices at once: one run without -m; one device each for several jobs: leave trainer.devices",
        )


def _n_devices(devices: Any) -> float:
    if isinstance(devices, ListConfig | list):
        return len(devices)
    if devices in {-1, "-1"}:
        return math.inf
    if isinstance(devices, str):
        return len(devices.split(",")) if "," in devices else int(devices) if devices.isdigit() else 1
    return int(devices)


def _n_cores(cfg: DictConfig, n_all: int) -> int:
    """Return how many cores a job without a GPU takes: `lease.cores`, or an even part for each job of the launcher."""
    if cfg.lease.cores != "auto":
        if isinstance(cfg.lease.cores, bool) or not isinstance(cfg.lease.cores, int) or cfg.lease.cores < 1:
            raise ConfigError(
                "lease.cores cannot be used.", expected="auto, or a number above 0", found=cfg.lease.cores
            )
        return int(cfg.lease.cores)
    launcher = HydraConfig.get().launcher
    asked = launcher.get("cpus_per_task") or (launcher.get("remote") or {}).get("num_cpus")  # of SLURM, of Ray
    if asked:
        return max(1, int(asked))
    n_jobs = launcher.get("n_jobs", 1)
    if n_jobs is None or n_jobs < 1:  # joblib: -1 is one for each core
        return 1
    return max(1, n_all // int(n_jobs))


def _command(name: str, job_dir: Path) -> list[str]:
    """Return what a user would type to run this job alone, in this directory."""
    hydra = HydraConfig.get()
    flags = [
        f"--config-dir={source.path}" for source in hydra.runtime.config_sources if source.provider == "command-line"
    ]
    if hydra.job.config_name != name:
        flags.append(f"--config-name={hydra.job.config_name}")
    kept = [override for override in hydra.overrides.hydra if not override.lstrip("+~").startswith(OF_THE_SWEEP)]
    place = str(job_dir).replace("\\", "\\\\").replace("'", "\\'")
    return [
        *(sys.executable, "-m", f"jewelenh.{name}", *flags, *hydra.overrides.task, *kept),
        *("hydra.mode=RUN", f"hydra.run.dir='{place}'"),
    ]


def _ending(code: int, job_dir: Path) -> dict[str, Any]:
    """Return what the exit code says, beside what the job itself noted."""
    note = read_note(job_dir)
    reason = note.reason if note else None
    if code == 0:
        return {"state": "finished", "reason": None, "traceback": None}
    if code == BusyError.exit_code:
        return {"state": "busy", "reason": reason, "traceback": None}
    if code == SKIPPED:
        return {"state": "skipped", "reason": reason, "traceback": None}
    told = {128 + number for number in (signal.SIGINT, signal.SIGTERM)}
    if code in told or code in {-signal.SIGINT, -signal.SIGTERM}:
        return {"state": "stopped", "reason": reason or "told to stop", "traceback": None}
    if code < 0:
        reason = f"killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            reason += " (where nobody did that, memory ran out)"
        (job_dir / TRACEBACK).write_text(f"{reason}\n\n{_last_lines(job_dir)}", encoding="utf-8")
        return {"state": "failed", "reason": reason, "traceback": TRACEBACK}
    return {"state": "failed", "reason": reason or f"exit code {code}"}


def _last_lines(job_dir: Path, n_lines: int = 20) -> str:
    """Return the end of the job's log: a process that was killed leaves no traceback."""
    logs = sorted(job_dir.glob("*.log"))
    lines = logs[0].read_text(encoding="utf-8", errors="replace").splitlines() if logs else []
    return "\n".join(["The log ends with:", *lines[-n_lines:], ""])


def note_failure(error: BaseException, job_dir: Path | None = None) -> None:
    """Leave reason and traceback with the job; nothing outside of sweeps."""
    place = job_dir or (Path(os.environ[JOB_DIR]) if JOB_DIR in os.environ else None)
    if place is None:
        return
    text = "".join(traceback.format_exception(error))
    (place / TRACEBACK).write_text(text, encoding="utf-8", errors="backslashreplace")
    kind = "" if isinstance(error, StoppedError | BusyError) else f"{type(error).__name__}: "
    amend_note(place, reason=kind + (str(error).splitlines() or [""])[0], traceback=TRACEBACK)


def note_result(returned: Any) -> None:
    """Leave what the job returned with it; nothing outside of sweeps."""
    if JOB_DIR in os.environ:
        is_number = isinstance(returned, int | float) and not isinstance(returned, bool)
        amend_note(Path(os.environ[JOB_DIR]), returned=float(returned) if is_number else None)
