"""The claim that a training makes on its run, from Hydra's configuration."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from jewelenh.composed import given_keys, plain, run_dir
from jewelenh.errors import ConfigError
from jewelenh.sweeps.claims import Run, claimed, finished_run
from jewelenh.sweeps.gpus import visible_gpus
from jewelenh.sweeps.identity import fitted, identity
from jewelenh.sweeps.notes import JOB_DIR, amend_note, relative_run
from jewelenh.sweeps.ranks import follow, is_follower

log = logging.getLogger(__name__)


@contextmanager
def claimed_run(cfg: DictConfig) -> Iterator[Run]:
    """Hold the run that `cfg` describes and move to its directory; see `jewelenh.sweeps.claims`.

    With `resume` a run goes on from a checkpoint of the user's choice: it has no identity, and is not found again.
    """
    here = run_dir()
    if cfg.busy not in {"wait", "skip"}:
        raise ConfigError("busy cannot be used.", expected="wait or skip", found=cfg.busy)
    if cfg.resume is not None:
        yield Run(here)
        return
    output_dir = Path(cfg.paths.output_dir).absolute()
    if is_follower():
        run = follow(output_dir, _identity(cfg), rerun=cfg.rerun)
        _move_to(run.directory, here)
        yield run
        return
    with claimed(output_dir, _identity(cfg), here, rerun=cfg.rerun, busy=cfg.busy) as run:
        _move_to(run.directory, here)
        note_run(run)
        if run.is_finished:
            log.info("this run is finished (rerun=true makes it again): %s", run.directory)
        yield run
    note_run(run)


def note_run(run: Run, job_dir: Path | None = None) -> None:
    """Leave a job's run, and what it measured, with the job; nothing outside of sweeps."""
    place = job_dir or (Path(os.environ[JOB_DIR]) if JOB_DIR in os.environ else None)
    if place is None:
        return
    numbers = {"numbers": dict(run.numbers), "trained_s": run.seconds} if run.numbers else {}
    where = relative_run(place, run.directory)
    amend_note(place, run=where, fingerprint=run.fingerprint, tries=run.n_tries, **numbers)


def known_result(cfg: DictConfig) -> Run | None:
    """Return the finished run that `cfg` describes, without waiting for anyone."""
    if cfg.resume is not None or cfg.rerun:
        return None
    return finished_run(Path(cfg.paths.output_dir).absolute(), _identity(cfg))


def objective_of(run: Run, name: str) -> float:
    """Return the number that `objective` names; none in a process that only helped the first one.

    Raises:
        ConfigError: the run measured no such thing.
    """
    if is_follower() and not run.numbers:
        return math.nan
    if name not in run.numbers:
        valid = ", ".join(sorted(run.numbers))
        raise ConfigError(f"objective={name} is nothing that the run measures.", expected=valid, where=run.directory)
    return run.numbers[name]


def _identity(cfg: DictConfig) -> dict[str, Any]:
    content = fitted(plain(cfg), given_keys(), has_gpu=bool(visible_gpus(cfg.lease.gpus)))
    return identity(content, run_dir())


def _move_to(directory: Path, here: Path) -> None:
    """Make the run's directory this job's own, and leave a link where Hydra began."""
    if directory == here:
        return
    hydra = HydraConfig.instance().cfg
    assert hydra is not None
    with read_write(hydra.hydra.runtime), open_dict(hydra.hydra.runtime):
        hydra.hydra.runtime.output_dir = str(directory)
    link = here / "run"
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(directory, here))
