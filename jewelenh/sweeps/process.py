"""A job of a sweep in a process of its own: what it takes down is itself, and its record says how it ended.

The launcher's side is `JobProcess`, wherever that runs: on this machine, on a node of SLURM or Ray. The job's side is
`follow_launcher`, `report` and `report_failure`, which do nothing outside of a sweep.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jewelenh.errors import BusyError, ConfigError, PrunedError, StoppedError
from jewelenh.files import read_json, write_atomically
from jewelenh.sweeps.record import SWEEP_NAME, JobState, SweepJob, change_job, read_sweep

LABEL, VARIED = "JEWELENH_JOB_LABEL", "JEWELENH_VARIED"
"""Environment variables of a job's process: what its log lines begin with, in what it differs from the other jobs."""
_PARENT, _REPORT = "JEWELENH_PARENT", "JEWELENH_JOB_REPORT"
"""And: who started it, the file it reports in."""
TRACEBACK = "traceback.txt"
GRACE_S = 300.0
"""What a job gets to save its checkpoint when it is told to stop."""
LOOK_EVERY_S = 0.1
TOLD_TO_STOP = frozenset({-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM})
_PR_SET_PDEATHSIG = 1


@dataclass
class JobProcess:
    """A job that can be run; sent to another machine before it is."""

    number: int
    command: tuple[str, ...]
    sweep_dir: Path
    folder: Path
    """Where the sweep was started."""
    fail_fast_from: int | None = None
    """With `fail_fast`: the first job of this call; once one from there on failed, this one is skipped."""
    varied: str = ""
    """In what it differs from the others, for the dashboards."""
    when_interrupted: JobState = field(default="stopped", init=False)
    """What its record says where the process that runs it is stopped."""
    exit_code: int | None = field(default=None, init=False)
    is_stopping: bool = field(default=False, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def run(self, device: str, environment: Mapping[str, str] | None = None, keep_open: Sequence[int] = ()) -> SweepJob:
        """Run the job to its end and return its record; told to stop meanwhile, stop the job first."""
        sweep = read_sweep(self.sweep_dir)
        failed = [job.number for job in sweep.jobs if job.state == "failed"] if sweep else []
        if self.fail_fast_from is not None and any(number >= self.fail_fast_from for number in failed):
            return self.ends("skipped", reason=f"fail_fast: job {max(failed)} failed")
        started_s = time.monotonic()
        change_job(self.sweep_dir, self.number, state="running", device=device, reason=None)
        try:
            with tempfile.TemporaryDirectory(prefix="jewelenh-job-") as folder:
                report = Path(folder) / "report.json"
                self._start({**(environment or {}), _REPORT: str(report)}, keep_open)
                code, said = self._followed(report)
        except Exception as error:
            self.stop()
            return self.ends("failed", reason=f"{type(error).__name__}: {error}")
        except BaseException:
            self.stop()
            self.ends(self.when_interrupted, reason="told to stop")
            raise
        return self.ends(**_ending(code, said), seconds=round(time.monotonic() - started_s, 1))

    def ends(self, state: JobState, **changes: Any) -> SweepJob:
        """Put the job's end on the record."""
        return change_job(self.sweep_dir, self.number, state=state, **changes)

    def tell_to_stop(self) -> None:
        """Send SIGTERM: a training saves where it is."""
        self.is_stopping = True
        if self._process is not None and self.exit_code is None:
            self._process.terminate()

    def stop(self) -> None:
        """Tell the process to stop, and kill it where it does not. Safe in a signal handler: takes no locks."""
        self.tell_to_stop()
        end_s = time.monotonic() + GRACE_S
        while self._process is not None and self.exit_code is None:
            if time.monotonic() > end_s:
                self._process.kill()
            time.sleep(LOOK_EVERY_S)

    def _start(self, environment: Mapping[str, str], keep_open: Sequence[int]) -> None:
        own = {SWEEP_NAME: self.sweep_dir.name, LABEL: f"[{self.number}] ", VARIED: self.varied}
        own[_PARENT] = str(os.getpid())
        # SLURM sends its warning to every process of a step; ours listen to SIGTERM, and inherit this.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            self._process = subprocess.Popen(
                self.command, env={**os.environ, **environment, **own}, cwd=self.folder, pass_fds=keep_open
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        threading.Thread(target=self._reap, daemon=True).start()
        if self.is_stopping:
            self.tell_to_stop()

    def _reap(self) -> None:
        assert self._process is not None
        self.exit_code = self._process.wait()

    def _followed(self, report: Path) -> tuple[int, dict[str, Any]]:
        """Put the job's directory on the record as soon as it has one; return its exit code and its last report."""
        directory, code = None, None
        while code is None:
            time.sleep(LOOK_EVERY_S)
            code = self.exit_code  # asked first: what it said at its end counts
            said = read_json(report)
            if said.get("directory", directory) != directory:
                directory = said["directory"]
                change_job(self.sweep_dir, self.number, directory=os.path.relpath(directory, self.sweep_dir))
        return code, said


def _ending(code: int, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the exit code says, beside what the job itself said."""
    ending = {"exit_code": code, **{key: said[key] for key in ("reason", "returned") if key in said}}
    if code == 0:
        return {**ending, "state": "finished", "reason": None}
    if code == BusyError.exit_code:
        return {**ending, "state": "busy"}
    if code == PrunedError.exit_code:
        return {**ending, "state": "pruned"}
    if code in TOLD_TO_STOP:
        return {"reason": "told to stop", **ending, "state": "stopped"}
    if code < 0:
        ending["reason"] = f"killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            ending["reason"] += " (where nobody did that, memory ran out)"
        if "directory" in said:
            _leave_last_lines(Path(said["directory"]), ending["reason"])
    return {"reason": f"exit code {code}", **ending, "state": "failed"}


def _leave_last_lines(directory: Path, reason: str, n_lines: int = 20) -> None:
    """Leave the end of the job's log: a process that was killed leaves no traceback."""
    logs = sorted(directory.glob("*.log"))
    lines = logs[0].read_text(encoding="utf-8", errors="replace").splitlines() if logs else []
    text = "\n".join([reason, "", "The log ends with:", *lines[-n_lines:], ""])
    (directory / TRACEBACK).write_text(text, encoding="utf-8")


def follow_launcher() -> None:
    """End this process with the one that started it, where that is a launcher and the system can."""
    parent = os.environ.pop(_PARENT, "")
    if parent and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # gone before we asked
            os.kill(os.getpid(), signal.SIGTERM)


def report(directory: Path, **said: Any) -> None:
    """Tell the launcher where this job works and what it returned, or why it failed."""
    if _REPORT in os.environ:
        content = {"directory": str(directory.absolute()), **said}
        write_atomically(Path(os.environ[_REPORT]), json.dumps(content).encode())


def report_returned(directory: Path, returned: Any) -> None:
    """Tell the launcher what this job returned; only a number counts."""
    is_number = isinstance(returned, int | float) and not isinstance(returned, bool)
    report(directory, returned=float(returned) if is_number else None)


def report_failure(directory: Path, error: BaseException) -> None:
    """Tell the launcher why this job failed, and leave a traceback in its directory."""
    if _REPORT in os.environ:
        text = "".join(traceback.format_exception(error))
        (directory / TRACEBACK).write_text(text, encoding="utf-8", errors="backslashreplace")
        kind = "" if isinstance(error, StoppedError | PrunedError | BusyError) else f"{type(error).__name__}: "
        lines = [" ".join(line.split()) for line in str(error).splitlines()]
        report(directory, reason=kind + " ".join(line for line in lines if not line.startswith("fix:")))


def require_one_device(trainer: Mapping[str, Any] | None) -> None:
    """Refuse several devices for a job of a sweep: Lightning starts their processes itself.

    Raises:
        ConfigError: `trainer.devices` or `trainer.num_nodes` is above 1.
    """
    devices, n_nodes = (trainer or {}).get("devices", 1), (trainer or {}).get("num_nodes", 1)
    is_one = len(devices) == 1 if isinstance(devices, list | tuple) else str(devices) in {"auto", "1", "0"}
    if SWEEP_NAME in os.environ and not (is_one and n_nodes == 1):
        raise ConfigError(
            "A job of a sweep trains in one process on one device.",
            expected="trainer.devices=1 or auto, trainer.num_nodes=1",
            found=f"trainer.devices={devices}, trainer.num_nodes={n_nodes}",
            fix="several devices at once: one run without -m; one device each for several jobs: leave trainer.devices",
        )
