"""What `-m` does with its jobs under every launcher: one command each, one record, one report, one exit code.

Each job is a process of its own, `python -m jewelenh.<job> <overrides> hydra.mode=RUN`, which takes nothing down but
itself. Hydra imports no module with this kind of name, so the class is there once.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from jewelenh.sweeps.process import JobProcess
from jewelenh.sweeps.record import Sweep, SweepJob, add_jobs, count_states, read_sweep

log = logging.getLogger(__name__)

OF_THE_SWEEP = (
    "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.sweep.", "hydra.mode", "hydra.run.",
)  # fmt: skip
"""Overrides that one job alone must not repeat."""
LOOK_EVERY_S = 0.5


class Ended(JobReturn):  # type: ignore[misc]
    """How a job ended. A failed one has no value: reading it is no error, as its launcher has said what failed."""

    is_pruned: bool = False

    @property
    def return_value(self) -> Any:
        """Return the number that the job returned."""
        return self._return_value


class JobLauncher(Launcher, Callback):  # type: ignore[misc]
    """What the launchers share; also Hydra's callback, which hears when the sweep is over."""

    process: type[JobProcess] = JobProcess

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.config = config
        module = task_function.__module__
        self.module = sys.modules[module].__spec__.name if module == "__main__" else module
        self.job = self.module.rpartition(".")[2]
        self.sweep_dir = Path(str(config.hydra.sweep.dir)).absolute()
        self.jobs: dict[int, SweepJob] = {}
        hydra_context.callbacks.callbacks.append(self)

    def started(self, jobs: Sequence[JobProcess]) -> AbstractContextManager[Callable[[], bool]]:
        """Start the jobs; yield what says whether all are over. Where the body raises, stop them."""
        raise NotImplementedError

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs to their end, however that is, and return what they returned."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        command = shlex.join(["python", "-m", self.module, *sys.argv[1:]])
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        sweep = Sweep(self.job, command, at, self.sweep_dir.name)
        jobs = add_jobs(self.sweep_dir, sweep, job_overrides, initial_job_idx)
        self.jobs.update((job.number, job) for job in jobs)
        first = min(self.jobs) if self.config.fail_fast else None
        processes = [
            self.process(job.number, self._command(job), self.sweep_dir, Path.cwd(), first, self._varied(job))
            for job in jobs
        ]
        try:
            with self.started(processes) as are_over:
                while not are_over():
                    time.sleep(LOOK_EVERY_S)
                    self._say_news()
        except (KeyboardInterrupt, SystemExit):
            self._conclude()
            raise
        self._say_news()
        return [self._ended(self.jobs[job.number]) for job in jobs]

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """End the program with exit code 1 where a job has no result."""
        if self._conclude():
            sys.exit(1)

    def _command(self, job: SweepJob) -> tuple[str, ...]:
        """Return what a user would type to run this job alone, in this sweep's directory if it has none of its own."""
        hydra = self.config.hydra
        flags = [f"--config-dir={one.path}" for one in hydra.runtime.config_sources if one.provider == "command-line"]
        flags.append(f"--config-name={hydra.job.config_name}")
        kept = [given for given in hydra.overrides.hydra if not given.lstrip("+~").startswith(OF_THE_SWEEP)]
        run_dir = str(OmegaConf.to_container(hydra.run, resolve=False)["dir"])
        if "${now:" in run_dir:  # else it is named by what the job makes, on the machine that makes it
            place = str(self.sweep_dir / str(job.number)).replace("\\", "\\\\").replace("'", "\\'")
            kept.append(f"hydra.run.dir='{place}'")
        return (sys.executable, "-m", self.module, *flags, *job.overrides, *kept, "hydra.mode=RUN")

    def _say_news(self) -> None:
        """Say of each job that it began and how it ended, wherever it runs."""
        sweep = read_sweep(self.sweep_dir)
        for job in sweep.jobs if sweep else ():
            known = self.jobs.get(job.number)
            if known is None or known.state == job.state:
                continue
            self.jobs[job.number] = job
            what = self._varied(job)
            if job.state == "running":
                log.info("job %d began on %s%s", job.number, job.device, what)
            elif job.state == "finished":
                returned = "" if job.returned is None else f": {job.returned:+.3f}"
                log.info("job %d finished after %.0f s%s%s", job.number, job.seconds, returned, what)
            elif job.state == "waiting":
                log.info("job %d is queued again%s", job.number, what)
            elif job.state == "pruned":
                log.info("job %d pruned: %s%s", job.number, job.reason, what)
            else:
                log.error("job %d %s: %s%s", job.number, job.state, job.reason, what)

    def _varied(self, job: SweepJob) -> str:
        """Return the overrides in which the jobs differ, in brackets."""
        shared = set.intersection(*(set(other.overrides) for other in self.jobs.values()))
        varied = " ".join(given for given in job.overrides if given not in shared)
        return f" ({varied})" if varied else ""

    def _ended(self, job: SweepJob) -> Ended:
        status = JobStatus.COMPLETED if job.state == "finished" else JobStatus.FAILED
        ended = Ended(overrides=list(job.overrides), status=status, _return_value=job.returned)
        ended.is_pruned = job.state == "pruned"
        return ended

    def _conclude(self) -> bool:
        """Write the report, say how the sweep ended, and return whether a job has no result."""
        self._say_news()
        log.info("sweep: %s", count_states(self.jobs.values()))
        if self.job == "train":
            self._report()
        is_bad = any(job.state not in {"finished", "busy", "pruned"} for job in self.jobs.values())
        if is_bad:
            log.info("the same command finishes the sweep: what is finished is not done again")
        return is_bad

    def _report(self) -> None:
        """Write the sweep's report and print its table; a report that fails takes nothing else with it."""
        from jewelenh.reporting.render import print_table
        from jewelenh.reporting.sweep import group_table, write_report
        from jewelenh.sweeps.results import read_results

        try:
            groups = group_table(read_results(self.sweep_dir))
            if groups.rows:
                print_table(groups)
            for name, file in write_report(self.sweep_dir).items():
                log.info("  %-12s %s", name, file)
        except Exception as error:
            log.exception("the report could not be written: %s", error)
