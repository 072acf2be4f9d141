"""One process at a time makes a run, a finished run is never made twice, and an unfinished one goes on.

    outputs/runs/<fingerprint>/
        run.json     state, the run's directory, numbers once finished, the reason once failed, the values hashed
        .lock        held by the kernel while a process works on the run, gone with the process

The run itself lies where Hydra put its first try (outputs/train/..., outputs/train-sweeps/.../<n>); further tries go on
there, so that checkpoints, curves and dashboards stay in one place.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from jewelenh.errors import BusyError, StoppedError
from jewelenh.files import explained, lock, write_atomically
from jewelenh.manifest import canonical_json
from jewelenh.refinement.runs import CHECKPOINTS, LAST
from jewelenh.sweeps.identity import fingerprint

log = logging.getLogger(__name__)

State = Literal["running", "finished", "failed", "stopped"]
RUNS = "runs"
CURVES = "csv/metrics.csv"


@dataclass
class Run:
    """A run that this process holds, or a finished one."""

    directory: Path
    checkpoint: Path | None = None
    """From which to go on."""
    fingerprint: str | None = None
    is_finished: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What the finished run measured."""
    n_tries: int = 1
    seconds: float = 0.0
    """Of all tries, once finished."""

    def finish(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Take the numbers of the finished run."""
        self.numbers = {name: float(value) for name, value in numbers.items()}
        return self.numbers


def read_state(folder: Path) -> dict[str, Any]:
    """Return what `outputs/runs/<fingerprint>` says about its run; nothing where it says nothing readable."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def finished_run(output_dir: Path, content: Mapping[str, Any]) -> Run | None:
    """Return the run with this identity if it is finished and its directory is still there."""
    name = fingerprint(content)
    state = read_state(output_dir / RUNS / name)
    directory = (output_dir / str(state.get("directory", ""))).resolve()
    if state.get("state") != "finished" or not directory.is_dir():
        return None
    return Run(directory, None, name, True, state["numbers"], state["tries"], state["seconds"])


@contextlib.contextmanager
def claimed(
    output_dir: Path, content: Mapping[str, Any], here: Path, *, rerun: bool = False, busy: str = "wait"
) -> Iterator[Run]:
    """Hold the run with this identity; `here` is where it would lie if nobody had begun it.

    The body trains and calls `finish`, unless the run `is_finished` already. Where the body raises, the run is noted as
    stopped or failed. While another process works on the run, `busy` says to `wait` for it or to `skip` it.

    Raises:
        BusyError: another process works on it, and `busy` is `skip`.
    """
    folder = output_dir / RUNS / fingerprint(content)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _held(folder, busy):
        finished = None if rerun else finished_run(output_dir, content)
        if finished:
            yield finished
            return
        run = _begun(folder, output_dir, here, rerun)
        yield from _noted(run, folder, output_dir, content)


def _noted(run: Run, folder: Path, output_dir: Path, content: Mapping[str, Any]) -> Iterator[Run]:
    """Write down how the run ends."""
    before_s = 0.0 if run.checkpoint is None else float(read_state(folder).get("seconds", 0.0))
    started_s = time.monotonic()

    def note(state: State, **more: Any) -> None:
        run.seconds = round(before_s + time.monotonic() - started_s, 1)
        about = {
            "version": 1,
            "state": state,
            "directory": os.path.relpath(run.directory, output_dir),
            "tries": run.n_tries,
            "resumed": run.checkpoint is not None,
            "seconds": run.seconds,
            "by": by(),
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **more,
            **content,
        }
        write_atomically(folder / "run.json", (json.dumps(about, indent=1, sort_keys=True) + "\n").encode())

    note("running")
    try:
        yield run
    except (StoppedError, KeyboardInterrupt, SystemExit) as error:
        note("stopped", reason=_first_line(error))
        raise
    except Exception as error:
        note("failed", reason=_first_line(error))
        raise
    note("finished", numbers=dict(run.numbers))


def _begun(folder: Path, output_dir: Path, here: Path, rerun: bool) -> Run:
    """Return the run as its last try left it, or a new one.

    A try that went on from a checkpoint and failed all the same is followed by one from the start.
    """
    state = read_state(folder)
    n_tries = int(state.get("tries", 0)) + 1
    name = folder.name
    directory = (output_dir / str(state.get("directory", ""))).resolve()
    checkpoint = directory / CHECKPOINTS / LAST
    failed_twice = state.get("state") == "failed" and state.get("resumed")
    if not state or rerun or failed_twice or state.get("state") == "finished" or not checkpoint.is_file():
        return Run(here, fingerprint=name, n_tries=n_tries)
    log.info("going on with the run of %s in %s", state.get("at"), directory)
    _keep_curves(directory)
    return Run(directory, checkpoint, fingerprint=name, n_tries=n_tries)


def _keep_curves(directory: Path) -> None:
    """Put the CSV file of an earlier try aside: the logger of the next one begins with an empty file."""
    curves = directory / CURVES
    if curves.is_file():
        n_before = len(list(curves.parent.glob("before-*.csv")))
        curves.rename(curves.with_name(f"before-{n_before + 1}.csv"))


@contextlib.contextmanager
def _held(folder: Path, busy: str) -> Iterator[None]:
    if busy != "skip":
        with lock(folder / ".lock", exclusive=True):
            yield
        return
    with explained(folder):
        file = (folder / ".lock").open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                "Another process works on this run.",
                where=folder,
                found=canonical_json(read_state(folder).get("by", {})),
                fix="busy=wait waits for its result",
            ) from None
        yield


def by() -> dict[str, Any]:
    """Return who this is: host, process, and the launch that several ranks of one training share."""
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID")
    launch = "/".join(os.environ.get(name, "") for name in names).strip("/")
    return {"host": socket.gethostname(), "pid": os.getpid(), "launch": launch}


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
