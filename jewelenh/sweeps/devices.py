"""The GPUs of this machine, or shares of its cores: each for one job at a time, over all terminals of a user."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jewelenh.errors import ConfigError, StageError

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Device:
    """What one job has for itself: a GPU with its part of the cores, or cores alone."""

    name: str
    cores: tuple[int, ...]
    locks: tuple[str, ...]
    """File names. Everybody takes them in this, ascending, order, so that nobody waits for each other for ever."""
    gpu: str | None = None
    """The entry of CUDA_VISIBLE_DEVICES."""


def visible_gpus(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the GPUs that this process may use: entries of CUDA_VISIBLE_DEVICES and the names of their locks.

    Asks the driver (NVML), without starting CUDA and without importing torch.
    """
    uuids = _uuids()
    if VISIBLE not in environment:
        return {uuid: uuid for uuid in uuids}
    entries = [entry.strip() for entry in environment[VISIBLE].split(",") if entry.strip()]
    entries = entries[: entries.index("-1")] if "-1" in entries else entries  # as CUDA reads it
    by_number = {str(number): uuid for number, uuid in enumerate(uuids)}
    return {entry: by_number.get(entry, entry) for entry in entries}


def _uuids() -> list[str]:
    """Return the UUIDs of all GPUs in the driver's order; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return []
    return [uuid.decode() if isinstance(uuid, bytes) else uuid for uuid in uuids]


def devices_for(gpus: Mapping[str, str], n_jobs: int, cores: Sequence[int]) -> list[Device]:
    """Return the devices of a sweep: every GPU, or without GPUs `n_jobs` even shares of the cores.

    Raises:
        ConfigError: `n_jobs` is below 1.
    """
    if gpus:
        n_each = max(1, len(cores) // len(gpus))
        return [
            Device(f"GPU {gpu}", tuple(cores[place * n_each % len(cores) :][:n_each]), (f"gpu-{name}",), gpu)
            for place, (gpu, name) in enumerate(gpus.items())
        ]
    if n_jobs < 1:
        raise ConfigError("invalid hydra.launcher.n_jobs", expected="a number from 1", found=n_jobs)
    n_each = max(1, len(cores) // n_jobs)
    shares = [tuple(sorted(cores)[place * n_each :][:n_each]) for place in range(min(n_jobs, len(cores)))]
    what = "1 core" if n_each == 1 else f"{n_each} cores"
    return [Device(what, share, tuple(f"core-{core:04d}" for core in share)) for share in shares]


def own_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def lock_dir() -> Path:
    """Return this user's folder of device locks on this machine: not in a home that machines share.

    Raises:
        StageError: somebody else made it.
    """
    folder = Path(tempfile.gettempdir()) / f"jewelenh-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StageError("The folder of device locks belongs to someone else.", where=folder, fix="set TMPDIR")
    return folder


@contextlib.contextmanager
def held(device: Device, folder: Path, is_over: Callable[[], bool] = lambda: False) -> Iterator[tuple[int, ...]]:
    """Wait until `device` is free and hold it; yield the locks' file descriptors, none where `is_over` came first.

    The job's process inherits them (which filelock does not offer) and so holds the device as long as it lives, also
    where the process that started it was killed.
    """
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context((folder / f"{name.replace('/', '-')}.lock").open("a")) for name in device.locks]
        for lock in locks:
            while not _is_taken(lock.fileno()):
                if is_over():
                    yield ()
                    return
                time.sleep(LOOK_EVERY_S)
        yield tuple(lock.fileno() for lock in locks)


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
