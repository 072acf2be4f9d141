"""A job of a sweep in a process of its own: what it takes down is itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from jewelenh.sweeps.leases import CORES

PARENT = "JEWELENH_PARENT"
"""Tells a job's process who started it."""
GRACE_S = 300.0
"""What a job gets to write its last checkpoint when it is told to stop."""
_PR_SET_PDEATHSIG = 1


def run_process(command: Sequence[str], environment: Mapping[str, str], keep_open: Sequence[int]) -> int:
    """Run a command to its end and return its exit code, negative for a signal.

    Where this process is told to stop (Ctrl-C, SIGTERM, a scheduler's signal), the command is told first and awaited.
    """
    process = subprocess.Popen(command, env={**environment, PARENT: str(os.getpid())}, pass_fds=keep_open)
    with _terminated_by_exception():
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            process.kill()
            process.wait()
            raise


@contextlib.contextmanager
def _terminated_by_exception() -> Iterator[None]:
    """Let SIGTERM raise SystemExit(143), where nobody else answers it."""

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    is_free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if threading.current_thread() is not threading.main_thread() or not is_free:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def settle_in() -> None:
    """Confine this process to its share of the cores, and end it with whoever started it; in a sweep's job alone."""
    cores = os.environ.pop(CORES, "")
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # a scheduler took some of them away
            os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    parent = os.environ.pop(PARENT, "")
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # gone before we asked
            os.kill(os.getpid(), signal.SIGTERM)
