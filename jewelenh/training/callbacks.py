"""What a run does beside its steps: a line per validation with the numbers that matter; how weights are averaged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from jewelenh.errors import PrunedError

log = logging.getLogger(__name__)


def warm_average(decay: float = 0.995) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return the moving average for Lightning's `WeightAveraging`: young, it forgets faster.

    After n steps it keeps min(decay, (1 + n) / (10 + n)) of itself, as TensorFlow's does, so that a run of a hundred
    steps does not end near where it began.
    """

    def average(averaged: Tensor, current: Tensor, n_averaged: Tensor | int) -> Tensor:
        n = float(n_averaged)
        keep = min(decay, (1 + n) / (10 + n))
        return averaged * keep + current * (1 - keep)

    return average


class EpochLine(pl.Callback):
    """Log `epoch 3/20  loss 0.0213  val 31.20 dB (input 30.11, gain +1.09)  2 min left` after every validation."""

    def __init__(self) -> None:
        self._started_s = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started_s, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the line, except for epochs without validation, and for runs that have Lightning's progress bar."""
        n_done, n_all = trainer.current_epoch + 1, trainer.max_epochs or -1
        every = trainer.check_val_every_n_epoch or 1
        if not trainer.is_global_zero or n_done % every or trainer.progress_bar_callback is not None:
            return
        passed_s = time.monotonic() - self._started_s
        left_s = passed_s / max(1, n_done - self._first_epoch) * max(0, n_all - n_done)
        log.info("epoch %d/%s%s  %s left", n_done, n_all if n_all > 0 else "?", _numbers(trainer), _time(left_s))


class BestValidation(pl.Callback):
    """Keep the `val/` numbers of the epoch in which `monitor` was highest, through stops and resumes."""

    def __init__(self, monitor: str = "val/psnr_db") -> None:
        self.monitor = monitor
        self.numbers: dict[str, float] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the numbers where they are the best so far."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if self.monitor in found and found[self.monitor] > self.numbers.get(self.monitor, float("-inf")):
            self.numbers = found

    def state_dict(self) -> dict[str, Any]:
        """Return what goes into checkpoints."""
        return {"numbers": dict(self.numbers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint kept."""
        self.numbers = dict(state_dict["numbers"])


class StopWhenHopeless(pl.callbacks.Checkpoint):
    """Report each validation to a search's trial, and stop the run where the search's pruner calls it hopeless.

    Being a `Checkpoint`, this runs when the others have saved: the same command without the search goes on from there.

    Args:
        pruner: of Optuna.
        trial: the trial's number; the search tells it, with its storage and name. Null: nothing is reported.
        storage: of the study.
        study_name: in the storage.
        monitor: what is reported.
    """

    def __init__(
        self,
        pruner: Any,
        trial: int | None = None,
        storage: str | None = None,
        study_name: str | None = None,
        monitor: str = "val/psnr_db",
    ) -> None:
        self.monitor, self._trial = monitor, None
        if trial is not None:
            import optuna

            study = optuna.load_study(study_name=study_name, storage=str(storage), pruner=pruner)
            self._trial = optuna.Trial(study, study.trials[trial]._trial_id)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and raise PrunedError where the trial is hopeless."""
        value = trainer.callback_metrics.get(self.monitor)
        if self._trial is None or value is None or not trainer.is_global_zero:
            return
        self._trial.report(float(value), trainer.current_epoch + 1)
        if self._trial.should_prune():
            what = f"{self.monitor} of {float(value):.2f} after epoch {trainer.current_epoch + 1}"
            raise PrunedError(f"Pruned by the search: {what} is behind other trials.")


def _numbers(trainer: pl.Trainer) -> str:
    found: dict[str, Any] = dict(trainer.callback_metrics)
    parts = [
        ("train/loss_epoch", "  loss {:.4f}"),
        ("val/psnr_db", "  val {:.2f} dB"),
        ("val/psnr_db_input", " (input {:.2f},"),
        ("val/gain_db", " gain {:+.2f})"),
    ]
    return "".join(text.format(float(found[name])) for name, text in parts if name in found)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
