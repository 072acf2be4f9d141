"""A GPU, or a share of the cores, for one job alone: locks that the kernel takes back when the job is gone.

The lock files lie in a folder of this user on this machine, so that all of a user's sweeps, in any terminal and under
any launcher, share out the same devices. A lock is handed on to the job's process and lives as long as that does.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jewelenh.errors import StageError
from jewelenh.sweeps.gpus import VISIBLE, Gpu

log = logging.getLogger(__name__)

CORES = "JEWELENH_CORES"
"""Tells a job's process which cores are its own."""
LOOK_EVERY_S = 0.2
SAY_WAITING_EVERY_S = 60.0


@dataclass(frozen=True)
class Share:
    """What a job has for itself: at most one GPU, and cores."""

    gpu: Gpu | None
    cores: tuple[int, ...]
    locks: tuple[int, ...]
    """File descriptors to hand on to the job's process."""

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        if self.gpu is not None:
            return f"GPU {self.gpu.entry}"
        return "1 core" if len(self.cores) == 1 else f"{len(self.cores)} cores"

    def environment(self) -> dict[str, str]:
        """Return the variables that confine the job's process, before it imports torch."""
        confined = {CORES: ",".join(map(str, self.cores))}
        return confined if self.gpu is None else {**confined, VISIBLE: self.gpu.entry}


def lease_dir() -> Path:
    """Return this user's folder of device locks on this machine.

    Raises:
        StageError: somebody else made it.
    """
    folder = Path(tempfile.gettempdir()) / f"jewelenh-leases-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StageError("The folder of device locks belongs to someone else.", where=folder, fix="set TMPDIR")
    return folder


@contextlib.contextmanager
def leased(gpus: Sequence[Gpu], cores: Sequence[int], n_cores: int, folder: Path) -> Iterator[Share]:
    """Wait for a free GPU of `gpus`, or without GPUs for `n_cores` free ones of `cores`, and hold it.

    With a GPU go its cores: an even part of `cores` for each GPU.
    """
    with contextlib.ExitStack() as stack:
        if gpus:
            place, lock = _free_gpu(gpus, folder)
            stack.enter_context(lock)
            share = max(1, len(cores) // len(gpus))
            mine = tuple(cores[place * share % len(cores) :][:share])
            yield Share(gpus[place], mine, (lock.fileno(),))
            return
        chosen, locks = _free_cores(cores, min(n_cores, len(cores)), folder)
        for lock in locks:
            stack.enter_context(lock)
        yield Share(None, chosen, tuple(lock.fileno() for lock in locks))


def _free_gpu(gpus: Sequence[Gpu], folder: Path) -> tuple[int, IO[str]]:
    wait = _Waiting(f"one of {len(gpus)} GPU(s)")
    while True:
        for place, gpu in enumerate(gpus):
            if lock := _try_lock(folder / f"gpu-{gpu.name.replace('/', '-')}.lock"):
                return place, lock
        wait.a_little()


def _free_cores(cores: Sequence[int], n_cores: int, folder: Path) -> tuple[tuple[int, ...], list[IO[str]]]:
    """All or none, one waiting process at a time: two that each held a part would wait for each other for ever."""
    wait = _Waiting(f"{n_cores} of {len(cores)} core(s)")
    while True:
        gate = _try_lock(folder / "cores.lock")
        if gate is None:
            wait.a_little()
            continue
        with gate:
            while True:
                free = {core: lock for core in cores if (lock := _try_lock(folder / f"core-{core}.lock"))}
                chosen = tuple(free)[:n_cores]
                for core, lock in free.items():
                    if len(chosen) < n_cores or core not in chosen:
                        lock.close()
                if len(chosen) == n_cores:
                    return chosen, [free[core] for core in chosen]
                wait.a_little()


def _try_lock(file: Path) -> IO[str] | None:
    lock = file.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


class _Waiting:
    """Sleep between two looks, and say now and then what for."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.said_s = time.monotonic() - SAY_WAITING_EVERY_S + 1

    def a_little(self) -> None:
        if time.monotonic() - self.said_s > SAY_WAITING_EVERY_S:
            self.said_s = time.monotonic()
            log.info("waiting for %s: other jobs have them", self.what)
        time.sleep(LOOK_EVERY_S)
