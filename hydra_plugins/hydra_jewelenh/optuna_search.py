"""Optuna's sweeper, going on where an earlier call of the same search stopped."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSearch(Sweeper):
    """`n_trials` counts the finished trials of all calls; those that broke off or failed are tried again first."""

    def __init__(self, **settings: Any) -> None:
        from hydra_plugins.hydra_jewelenh._resumed_search import ResumedSearch

        self.search = ResumedSearch(**settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.search.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Run what is missing."""
        self.search.sweep(arguments)
