"""Jobs of a sweep on a Ray cluster: each a task with its own CPUs and GPUs, tried again where its machine is lost.

hydra-ray-launcher 1.2.2 runs under Ray 2.60 too, but asks for cloudpickle<3, which joblib 1.6 refuses, and for the
client of a cloud.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)


class RayLauncher(Launcher):
    """`init` goes to `ray.init`, `remote` to `ray.remote`."""

    def __init__(self, init: Mapping[str, Any], remote: Mapping[str, Any]) -> None:
        self.init = dict(OmegaConf.to_container(OmegaConf.create(init), resolve=True))
        self.remote = dict(OmegaConf.to_container(OmegaConf.create(remote), resolve=True))
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.config, self.task_function, self.hydra_context = config, task_function, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return how they ended; a job whose machines were all lost is a failed one."""
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        if not ray.is_initialized():
            ray.init(**self.init)
        task = ray.remote(**self.remote)(_run)
        log.info("Ray runs %d jobs, each with %s", len(job_overrides), self.remote)
        running = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id, config.hydra.job.num = f"job_{number}", number
            state = Singleton.get_state()
            running.append(task.remote(self.hydra_context, config, self.task_function, state, str(Path.cwd())))
        return [_result(ray, reference) for reference in running]


def _run(
    context: HydraContext, config: DictConfig, task: TaskFunction, state: dict[Any, Any], folder: str
) -> JobReturn:
    """Be a job, on whatever machine this is; `folder` is where the sweep was started."""
    os.chdir(folder)
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _result(ray: Any, reference: Any) -> JobReturn:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        log.error("a job was lost: %s", error)
        lost = JobReturn()
        lost.return_value, lost.status = error, JobStatus.FAILED
        return lost
