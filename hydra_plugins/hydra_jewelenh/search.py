"""A search with Optuna: `n_trials` counts the finished trials of all calls; several processes may share one study."""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from jewelenh.errors import BusyError
from jewelenh.files import lock, write_atomically
from jewelenh.sweeps.record import SEARCH_FILE

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

SQLITE = "sqlite:///"
ENDED = ("COMPLETE", "PRUNED")
"""States of trials that count."""
PROCESS = "process"
"""A trial's attribute: which process tries it. That holds the lock of this name as long as it lives."""


class OptunaSweeper(Sweeper):  # type: ignore[misc]
    """Asks a study for trials, has the launcher run `n_jobs` at a time, and tells the study what they returned."""

    def __init__(
        self,
        sampler: Any,
        direction: str,
        study_name: str,
        storage: str | None,
        n_trials: int,
        n_jobs: int | None = None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        self.sampler, self.direction, self.study_name, self.storage = sampler, direction, study_name, storage
        self.n_trials, self.n_jobs, self.params = n_trials, n_jobs, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Try what broke off or failed in earlier calls, then new trials, until `n_trials` are finished."""
        from optuna.trial import TrialState

        self.folder = Path(str(self.config.hydra.sweep.dir)).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        space, fixed = search_space([f"{key}={value}" for key, value in self.params.items()] + arguments)
        with self._living() as process:
            study = self._study()
            n_left = self.n_trials - len(_trials(study, *ENDED))
            while n_left > 0 and (trials := self._ask(study, space, n_left, process)):
                overrides = [
                    [*fixed, *(f"{key}={value}" for key, value in trial.params.items()), *self._reporting(trial)]
                    for trial in trials
                ]
                ended = self.launcher.launch(overrides, initial_job_idx=trials[0].number)
                for trial, one in zip(trials, ended, strict=True):
                    is_number = one.return_value is not None and math.isfinite(one.return_value)
                    failed = TrialState.PRUNED if getattr(one, "is_pruned", False) else TrialState.FAIL
                    study.tell(trial, one.return_value if is_number else None, None if is_number else failed)
                has_failed = any(study.trials[trial.number].state == TrialState.FAIL for trial in trials)
                if self.config.fail_fast and has_failed:
                    break
                n_left -= len(trials)
        if _trials(study, "COMPLETE"):
            best = study.best_trial
            what = ", ".join(f"{key}={value}" for key, value in best.params.items())
            log.info("search: the best of %d trials is %.4f (%s)", len(study.trials), best.value, what)
        write_atomically(self.folder / SEARCH_FILE, json.dumps(described(study), indent=1).encode())

    def _reporting(self, trial: optuna.Trial) -> list[str]:
        """Return what lets a training report to its trial, and be stopped by the pruner: `callbacks.prune`."""
        if self.storage is None or OmegaConf.select(self.config, "callbacks.prune") is None:
            return []
        told = {"trial": trial.number, "storage": f"'{self.storage}'", "study_name": f"'{self.study_name}'"}
        return [f"callbacks.prune.{key}={value}" for key, value in told.items()]

    def _study(self) -> optuna.Study:
        """Open the study and queue what earlier calls did not finish."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if self.storage and self.storage.startswith(SQLITE):
            Path(self.storage.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        with lock(self.folder / ".search.lock"):
            named = {"study_name": self.study_name, "storage": self.storage, "load_if_exists": True}
            study = optuna.create_study(sampler=self.sampler, direction=self.direction, **named)
            n_again = self._queue_unfinished(study)
        if study.trials:
            n_finished = len(_trials(study, "COMPLETE"))
            log.info("search %s: %d trials are finished, %d are tried again", self.study_name, n_finished, n_again)
        return study

    def _queue_unfinished(self, study: optuna.Study) -> int:
        """Queue the values of trials that broke off or failed, unless they are finished or queued; return how many."""
        from optuna.trial import TrialState

        known = [trial.params for trial in _trials(study, *ENDED)]
        known += [trial.system_attrs.get("fixed_params") for trial in _trials(study, "WAITING")]
        for trial in _trials(study, "RUNNING"):
            if not self._is_living(trial.user_attrs.get(PROCESS, "")):
                study.tell(trial.number, state=TrialState.FAIL)
        n_again = 0
        for trial in _trials(study, "FAIL"):
            if trial.params and trial.params not in known:
                known.append(trial.params)
                study.enqueue_trial(trial.params)
                n_again += 1
        return n_again

    def _ask(self, study: optuna.Study, space: dict[str, Any], n_left: int, process: str) -> list[optuna.Trial]:
        """Return trials, no more than nobody else has under way."""
        width = self.n_jobs or getattr(self.launcher, "n_at_once", 1)
        with lock(self.folder / ".search.lock"):
            if any(trial.user_attrs.get(PROCESS) != process for trial in study.trials):
                self.sampler.reseed_rng()  # or it would draw what an earlier call or another process drew
            n_open = self.n_trials - len(_trials(study, *ENDED, "RUNNING"))
            trials = [study.ask(space) for _ in range(min(width, n_left, n_open))]
            for trial in trials:
                trial.set_user_attr(PROCESS, process)
        return trials

    @contextmanager
    def _living(self) -> Iterator[str]:
        """Hold a lock that tells other processes that this one lives; it names the trials that are its own."""
        name = uuid.uuid4().hex
        file = self.folder / f".process-{name}.lock"
        with lock(file):
            yield name
        file.unlink(missing_ok=True)

    def _is_living(self, name: str) -> bool:
        file = self.folder / f".process-{name}.lock"
        try:
            if file.exists():
                with lock(file, blocking=False):
                    file.unlink()
        except BusyError:
            return True
        return False


def _trials(study: optuna.Study, *states: str) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in states]


def described(study: optuna.Study) -> dict[str, Any]:
    """Return a study as plain values: its trials, how much each parameter mattered, and the best trial."""
    import optuna

    done = _trials(study, "COMPLETE")
    try:
        importances = optuna.importance.get_param_importances(study) if len(done) > 1 else {}
    except (ValueError, RuntimeError):  # equal results, or parameters that were not varied
        importances = {}
    best = {"number": study.best_trial.number, "params": study.best_trial.params} if done else None
    trials = [
        {"number": trial.number, "state": trial.state.name, "value": trial.value, "params": trial.params}
        for trial in study.trials
    ]
    return {"best": best, "importances": dict(importances), "trials": trials}


def search_space(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return Optuna's distributions for overrides with several values, and the other overrides; the last one counts."""
    parsed = {override.get_key_element(): override for override in OverridesParser.create().parse_overrides(arguments)}
    space = {key: _distribution(override) for key, override in parsed.items() if override.is_sweep_override()}
    return space, [override.input_line for key, override in parsed.items() if key not in space]


def _distribution(override: Override) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if override.is_interval_sweep():
        kind = IntDistribution if isinstance(value.start, int) and isinstance(value.end, int) else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    if override.is_range_sweep() and not value.shuffle:
        steps = list(value.range())
        kind = IntDistribution if isinstance(steps[0], int) else FloatDistribution
        return kind(min(steps), max(steps), step=abs(value.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))
