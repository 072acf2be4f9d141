"""What OptunaSearch adds to hydra-optuna-sweeper; apart, as it imports Optuna."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import optuna
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from optuna.trial import TrialState

from jewelenh.files import lock

log = logging.getLogger(__name__)

SQLITE = "sqlite:///"


class ResumedSearch(OptunaSweeperImpl):
    """See OptunaSearch."""

    def __init__(
        self,
        sampler: Any,
        direction: Any,
        storage: Any = None,
        study_name: str | None = None,
        n_trials: int = 20,
        n_jobs: int = 1,
        max_failure_rate: float = 1.0,
        search_space: Any = None,
        custom_search_space: str | None = None,
        params: Any = None,
    ) -> None:
        super().__init__(
            sampler, direction, storage, study_name, n_trials, n_jobs, max_failure_rate, search_space,
            custom_search_space, params,
        )  # fmt: skip

    def sweep(self, arguments: list[str]) -> None:
        """Count what earlier calls finished, queue what they did not, and search on."""
        if not (isinstance(self.storage, str) and self.storage.startswith(SQLITE)):
            self._search_on(arguments)
            return
        database = Path(self.storage.removeprefix(SQLITE))
        database.parent.mkdir(parents=True, exist_ok=True)
        with lock(database.with_suffix(".lock"), exclusive=True):  # its running trials are somebody's, else left over
            self._search_on(arguments)

    def _search_on(self, arguments: list[str]) -> None:
        study = optuna.create_study(
            study_name=self.study_name,
            storage=self.storage,
            sampler=self.sampler,
            directions=self._get_directions(),
            load_if_exists=True,
        )
        n_finished = len(study.get_trials(states=(TrialState.COMPLETE,)))
        n_again = _queue_unfinished(study)
        if study.trials:
            self.sampler.reseed_rng()  # or it would draw what it drew in the first call
            log.info("search %s: %d trials are finished, %d are tried again", study.study_name, n_finished, n_again)
        self.job_idx = len(study.trials)  # the search has one directory: no job may take an earlier one's
        self.n_trials = max(0, self.n_trials - n_finished)
        super().sweep(arguments)


def _queue_unfinished(study: optuna.Study) -> int:
    """Queue the values of trials that broke off or failed, unless they are finished or queued; return how many."""
    known = [trial.params for trial in study.get_trials(states=(TrialState.COMPLETE,))]
    known += [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=(TrialState.WAITING,))]
    n_queued = 0
    for trial in study.get_trials(states=(TrialState.RUNNING, TrialState.FAIL)):
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.params and trial.params not in known:
            known.append(trial.params)
            study.enqueue_trial(trial.params)
            n_queued += 1
    return n_queued
