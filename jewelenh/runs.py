"""A training run is a directory that is named by what decides its result, before anything runs.

    outputs/train/mild-seed42-4ee98cf2d2/
        run.json        state, numbers once finished, the reason once failed
        .lock           held by the kernel while a process trains here, gone with the process
        checkpoints/    best.ckpt, last.ckpt, ...

The name is Hydra's own run directory (`${run_name:}` in conf/train.yaml), so every process that composes the same
configuration comes to the same place: a repeated command, a wider sweep, a job that a cluster queued again, the ranks
of a distributed training. Finding a finished run, skipping it and going on with a broken one are looking at its
directory.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jewelenh.errors import BusyError, ConfigError, PrunedError, StoppedError, TrainingError
from jewelenh.files import lock, read_json, remove_leftovers, write_atomically

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
BEST, LAST = "best.ckpt", "last.ckpt"
READY = Path(__file__).resolve().parent / "sample" / "ready.safetensors"
"""One network for all levels and for photos that were not degraded: experiments/ready says how it was made."""
STATE, LOCK = "run.json", ".lock"
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")
PATIENCE_S = 600.0


@dataclass
class Run:
    """A run that this process makes, or a finished one."""

    directory: Path
    checkpoint: Path | None = None
    """From which to go on."""
    is_finished: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What a finished run measured."""
    n_tries: int = 1

    def finish(self, numbers: Mapping[str, float]) -> None:
        """Take the numbers of the finished run."""
        self.numbers = {name: float(value) for name, value in numbers.items()}

    def value(self, name: str) -> float:
        """Return the number `objective` asks for; NaN in a rank that only helped the first one.

        Raises:
            ConfigError: the run measured no such thing.
        """
        if is_follower() and not self.numbers:
            return float("nan")
        if name not in self.numbers:
            valid = ", ".join(sorted(self.numbers))
            raise ConfigError(f"invalid objective={name}", where=self.directory, expected=valid)
        return self.numbers[name]


def read_run(directory: Path) -> dict[str, Any]:
    """Return what a run's directory says of its state; nothing where it says nothing readable."""
    state = read_json(directory / STATE)
    kinds: dict[str, Any] = {"tries": int, "seconds": (int, float), "numbers": dict, "by": dict}
    return state if all(isinstance(state[key], kind) for key, kind in kinds.items() if key in state) else {}


@contextlib.contextmanager
def held(directory: Path, about: Mapping[str, Any], *, rerun: bool = False, busy: str = "wait") -> Iterator[Run]:
    """Hold a run's directory. The body trains and calls `finish`, unless the run `is_finished` already.

    Where the body raises, the run is stopped or failed, and `run.json` says so. `about` is written beside that.
    While another process works on the run, `busy` says to `wait` for it or to `skip` it. `rerun` moves what is there
    aside. Ranks that Lightning, torchrun or srun started beside a first one take over what that one found.

    Raises:
        BusyError: another process works on it, and `busy` is `skip`.
    """
    if is_follower():
        yield _followed(directory)
        return
    with _locked(directory, busy):
        state = read_run(directory)
        remove_leftovers(directory)
        if rerun:
            _move_aside(directory)
        elif _is_finished(directory, state):
            os.utime(directory / STATE)  # `latest` is the run that was asked for last
            yield Run(directory, None, True, state["numbers"], int(state.get("tries", 1)))
            return
        run = Run(directory, _go_on_from(directory, state), n_tries=int(state.get("tries", 0)) + 1)
        yield from _recorded(run, about, state)


def _is_finished(directory: Path, state: Mapping[str, Any]) -> bool:
    """Say whether a run has ended with numbers, and still has what it trained."""
    has_numbers = state.get("state") == "finished" and isinstance(state.get("numbers"), dict)
    if has_numbers and not any((directory / CHECKPOINTS).glob("*.ckpt")):
        log.warning("the checkpoints of this finished run are gone; it is made again: %s", directory)
        return False
    return has_numbers


def _go_on_from(directory: Path, state: Mapping[str, Any]) -> Path | None:
    """Return the checkpoint of an earlier try, unless a try that went on from it has failed."""
    failed_again = state.get("state") == "failed" and state.get("resumed")
    last = directory / CHECKPOINTS / LAST
    if state.get("state") in {None, "finished"} or failed_again or not last.is_file():
        return None
    log.info("going on with the run of %s in %s", state.get("at"), directory)
    return last


def _recorded(run: Run, about: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Run]:
    """Write down how the run ends."""
    earlier_s = 0.0 if run.checkpoint is None else float(before.get("seconds", 0.0))
    started_s = time.monotonic()

    def write(state: str, **more: Any) -> None:
        seconds = round(earlier_s + time.monotonic() - started_s, 1)
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        resumed = run.checkpoint is not None
        content = {**about, "state": state, "tries": run.n_tries, "resumed": resumed, "seconds": seconds, "at": at}
        content = {"version": 1, **content, "by": _this_process(), **more}
        write_atomically(run.directory / STATE, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())

    write("running")
    try:
        yield run
    except (StoppedError, PrunedError, KeyboardInterrupt, SystemExit) as error:
        write("stopped", reason=_first_line(error))
        raise
    except Exception as error:
        write("failed", reason=_first_line(error))
        raise
    write("finished", numbers=dict(run.numbers))


@contextlib.contextmanager
def _locked(directory: Path, busy: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(directory / LOCK, blocking=busy != "skip"))
        except BusyError:
            who, fix = json.dumps(read_run(directory).get("by", {})), "busy=wait waits for its result"
            raise BusyError("Another process works on this run.", where=directory, found=who, fix=fix) from None
        yield


def _move_aside(directory: Path) -> None:
    """Keep an earlier result beside the run that is made again; what Hydra wrote for this try stays."""
    if not (directory / STATE).is_file():
        return
    n_before = len(list(directory.parent.glob(f"{directory.name}.before-*")))
    aside = directory.with_name(f"{directory.name}.before-{n_before + 1}")
    aside.mkdir()
    for path in list(directory.iterdir()):
        if path.name not in {LOCK, ".hydra"}:
            path.rename(aside / path.name)
    log.info("the earlier result is in %s", aside)


def is_follower(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether torchrun, srun or Lightning started this process beside a first one."""
    ranks = [environment.get(name, "0") for name in RANKS]
    if int(environment.get("SLURM_NTASKS", "1")) > 1:
        ranks.append(environment.get("SLURM_PROCID", "0"))
    return any(rank not in {"", "0"} for rank in ranks)


def _followed(directory: Path) -> Run:
    """Return the run as the first process of this launch found it, once that has.

    Raises:
        TrainingError: it does not say so within ten minutes.
    """
    mine = _this_process()["launch"]
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        state = read_run(directory)
        first = state.get("by", {})
        is_ours = (mine and first.get("launch") == mine) or first.get("pid") == os.getppid()
        if state.get("state") == "finished":
            return Run(directory, None, True, state["numbers"], state["tries"])
        if state.get("state") == "running" and is_ours:
            checkpoint = directory / CHECKPOINTS / LAST if state["resumed"] else None
            return Run(directory, checkpoint, n_tries=state["tries"])
        time.sleep(0.2)
    fix = "one outputs directory that all nodes see: paths.output_dir"
    raise TrainingError("The first process of this training does not say where it is.", where=directory, fix=fix)


def _this_process() -> dict[str, Any]:
    """Return host, process, and the launch that several ranks of one training share."""
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID")
    launch = "/".join(os.environ.get(name, "") for name in names).strip("/")
    return {"host": socket.gethostname(), "pid": os.getpid(), "launch": launch}


def _first_line(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "told to stop"
    return (str(error).splitlines() or [type(error).__name__])[0]
