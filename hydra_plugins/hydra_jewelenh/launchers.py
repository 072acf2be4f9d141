"""Where the jobs of a sweep run: on this machine, on SLURM, on Ray; the same command in the same directory."""

from __future__ import annotations

import io
import logging
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from hydra_plugins.hydra_jewelenh._job_launcher import JobLauncher
from jewelenh.errors import ConfigError
from jewelenh.sweeps.devices import VISIBLE, Device, devices_for, held, lock_dir, own_cores, visible_gpus
from jewelenh.sweeps.process import GRACE_S, JobProcess
from jewelenh.sweeps.record import ENDED, change_job, read_sweep

log = logging.getLogger(__name__)

ON_CORES = frozenset({"fetch", "degrade", "report"})
"""Jobs that never use a GPU."""
BETWEEN_JOBS_S = 0.5
"""A device is free for so long between two jobs of one sweep: another terminal, which looks more often, may have it."""
SHARED = frozenset({"timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task"})
"""Settings that submitit takes without the cluster's name before them."""
ALIVE = frozenset({
    "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
    "RESV_DEL_HOLD", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "PREEMPTED",
})  # fmt: skip
"""States in which SLURM may still run a job."""
PATIENCE = frozenset({"None", "Resources", "Priority", "JobArrayTaskLimit", "BeginTime", "Dependency", "Cleaning"})
"""Reasons to wait that pass by themselves; of others, such as PartitionConfig, the user is told once."""
ASK_EVERY_S, GONE_S, TAKEN_DOWN_S = 5.0, 20.0, 120.0
"""Between two questions to SLURM; for so long a job must be gone; for so long it waits for SLURM's SIGKILL."""


class LocalLauncher(JobLauncher):
    """Every GPU of this machine has one job at a time; without GPUs, `n_jobs` jobs share the cores."""

    def __init__(self, n_jobs: int = 1, gpus: Sequence[str] | None = None) -> None:
        self.n_jobs, self.gpus = n_jobs, gpus

    @property
    def n_at_once(self) -> int:
        """Return how many jobs run at once."""
        return len(self.devices)

    @property
    def devices(self) -> list[Device]:
        """Return what the jobs run on."""
        gpus = visible_gpus() if self.gpus is None else {str(gpu): str(gpu) for gpu in self.gpus}
        return devices_for({} if self.job in ON_CORES else gpus, self.n_jobs, own_cores())

    @contextmanager
    def started(self, jobs: Sequence[JobProcess]) -> Iterator[Callable[[], bool]]:
        """Start a thread a device, each taking jobs as long as there are any."""
        todo: queue.SimpleQueue[JobProcess] = queue.SimpleQueue()
        for job in jobs:
            todo.put(job)
        devices = self.devices[: len(jobs)]
        threads = [threading.Thread(target=self._work, args=(device, todo), daemon=True) for device in devices]
        for thread in threads:
            thread.start()
        try:
            yield lambda: not any(thread.is_alive() for thread in threads)
        except BaseException:
            while not todo.empty():
                todo.get_nowait()
            for job in jobs:
                job.tell_to_stop()
            for job in jobs:
                job.stop()
            for thread in threads:
                thread.join()
            raise

    def _work(self, device: Device, todo: queue.SimpleQueue[JobProcess]) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, device.cores)  # of this thread: the processes that it starts inherit it
        environment = {} if device.gpu is None else {VISIBLE: device.gpu}
        while not todo.empty():
            with held(device, lock_dir(), todo.empty) as locks:
                try:
                    job = todo.get_nowait()
                except queue.Empty:
                    return
                job.run(device.name, environment, locks)
            time.sleep(BETWEEN_JOBS_S)


class SlurmProcess(JobProcess):
    """A job on a node, in the hands of submitit: stopped and queued again, it is the same command."""

    is_taken_down = False

    def __call__(self) -> None:
        """Run on the node."""
        signal.signal(signal.SIGTERM, self._taken_down)
        self.run(socket.gethostname())

    def checkpoint(self) -> Any:
        """Answer SLURM's warning (submitit calls this in its signal handler): save, then queue again."""
        import submitit

        self.when_interrupted = "waiting"
        self.stop()
        return submitit.helpers.DelayedSubmission(replace(self))

    def _taken_down(self, number: int, frame: Any) -> None:
        """Pass SIGTERM on. It comes with the end of this step: only SLURM knows whether the job is queued again."""
        self.is_taken_down = True
        self.tell_to_stop()

    def ends(self, state: Any, **changes: Any) -> Any:
        """Put the job's end on the record, unless SLURM is ending this process."""
        if self.is_taken_down and state == "stopped":
            time.sleep(TAKEN_DOWN_S)
        return super().ends(state, **changes)


class SlurmLauncher(JobLauncher):
    """A SLURM job array by submitit; `cluster` is `slurm`, or `local` for submitit's own processes on this machine."""

    process = SlurmProcess

    def __init__(self, cluster: str = "slurm", max_num_timeout: int = 20, **settings: Any) -> None:
        self.cluster, self.max_num_timeout = cluster, max_num_timeout
        plain = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)
        self._asked_s, self._said = -ASK_EVERY_S, set[str]()
        self.settings = {name: value for name, value in plain.items() if value not in (None, 0, [], {})}

    @contextmanager
    def started(self, jobs: Sequence[JobProcess]) -> Iterator[Callable[[], bool]]:
        """Submit the jobs as one array. They stay in the queue where this process ends."""
        handles = dict(zip([job.number for job in jobs], self._submitted(jobs), strict=True))
        gone_since_s: dict[int, float] = {}

        def are_over() -> bool:
            sweep = read_sweep(self.sweep_dir)
            open_jobs = [job.number for job in sweep.jobs if job.number in handles and job.state not in ENDED]
            states = self._states({number: handles[number] for number in open_jobs})
            for number, state in states.items():
                if state in ALIVE:
                    gone_since_s.pop(number, None)
                elif time.monotonic() - gone_since_s.setdefault(number, time.monotonic()) > GONE_S:
                    reason = f"{self.cluster} says {state}; its log: {handles[number].paths.stderr}"
                    ended = "stopped" if state == "CANCELLED" else "failed"
                    change_job(self.sweep_dir, number, state=ended, reason=reason)
            return not open_jobs

        yield are_over

    def _submitted(self, processes: Sequence[JobProcess]) -> list[Any]:
        import submitit

        folder = self.sweep_dir / ".submitit"
        try:
            with redirect_stderr(io.StringIO()):  # submitit repeats what the error says
                executor = submitit.AutoExecutor(
                    folder=folder, cluster=self.cluster, slurm_max_num_timeout=self.max_num_timeout
                )
                settings = {name if name in SHARED else f"slurm_{name}": self.settings[name] for name in self.settings}
                executor.update_parameters(name=f"jewelenh-{self.job}", **settings)
                with executor.batch():
                    return [executor.submit(process) for process in processes]
        except (RuntimeError, NameError, AssertionError, submitit.core.utils.FailedJobError) as error:
            raise _refused(str(error)) from error

    def _states(self, handles: Mapping[int, Any]) -> dict[int, str]:
        """Return what the scheduler says of jobs; empty where it does not answer."""
        if self.cluster != "slurm":
            return {number: "DONE" if handle.done() else "RUNNING" for number, handle in handles.items()}
        if not handles or time.monotonic() - self._asked_s < ASK_EVERY_S:
            return {}
        self._asked_s = time.monotonic()
        arrays = ",".join(sorted({handle.job_id.split("_")[0] for handle in handles.values()}))
        command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={arrays}", "--format=%i|%T|%r"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return {}
        if asked.returncode and "Invalid job id" not in asked.stderr:
            return {}
        lines = [line.strip().split("|") for line in asked.stdout.splitlines() if "|" in line]
        found = {job.partition("_[")[0]: state for job, state, _ in lines}  # 7_0; or 7_[0-3], cancelled as a whole
        for reason in {reason for _, state, reason in lines if state == "PENDING"} - PATIENCE - self._said:
            self._said.add(reason)
            log.warning("jobs are waiting, SLURM says why: %s (squeue; scancel takes them out)", reason)
        ids = {number: handle.job_id for number, handle in handles.items()}
        lost = "nothing of it any more"
        return {number: found.get(job, found.get(job.split("_")[0], lost)) for number, job in ids.items()}


def _refused(message: str) -> ConfigError:
    """Return what to change where sbatch refuses the jobs."""
    known = {
        "partition": "partition", "account": "account", "gres": "gpus_per_node", "generic resource": "gpus_per_node",
        "time limit": "timeout_min", "memory": "mem_gb", "cpu": "cpus_per_task", "qos": "additional_parameters.qos",
        "node configuration": "gpus_per_node, cpus_per_task or mem_gb", "srun": "cluster",
    }  # fmt: skip
    key = next((key for word, key in known.items() if word in message.lower()), "additional_parameters")
    return ConfigError("The jobs cannot be submitted.", found=message, fix=f"change hydra.launcher.{key}")


class RayLauncher(JobLauncher):
    """Each job is a task of a Ray cluster; where its machine is lost, it is tried on another.

    `init` goes to `ray.init`, `remote` to `ray.remote`.
    """

    def __init__(self, init: Mapping[str, Any], remote: Mapping[str, Any]) -> None:
        self.init = OmegaConf.to_container(OmegaConf.create(init), resolve=True)
        self.remote = OmegaConf.to_container(OmegaConf.create(remote), resolve=True)

    @contextmanager
    def started(self, jobs: Sequence[JobProcess]) -> Iterator[Callable[[], bool]]:
        """Hand the jobs to Ray."""
        import ray

        if not ray.is_initialized():
            ray.init(**self.init)
        task = ray.remote(**self.remote)(_run_on_node)
        running = {task.remote(job): job for job in jobs}

        def are_over() -> bool:
            for over in ray.wait(list(running), num_returns=len(running), timeout=0)[0] if running else []:
                job = running.pop(over)
                try:
                    ray.get(over)
                except ray.exceptions.RayError as error:
                    job.ends("failed", reason=f"Ray: {str(error).splitlines()[0]}")
            return not running

        try:
            yield are_over
        except BaseException:
            for reference in running:
                ray.cancel(reference)
            ray.wait(list(running), num_returns=len(running), timeout=GRACE_S)
            raise


def _run_on_node(job: JobProcess) -> None:
    job.run(socket.gethostname())
