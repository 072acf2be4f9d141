"""A run that is stopped from outside, or that crashes, leaves a checkpoint from which it goes on exactly."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from jewelenh.errors import JewelenhError, StoppedError
from jewelenh.refinement.runs import LAST

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SaveWhenStopped(pl.callbacks.Checkpoint):
    """Write `last.ckpt` when a run is stopped between two validations.

    Ctrl-C and SIGTERM are answered after the batch under way, so that weights, averages, optimiser and the place in the
    order belong together; a second Ctrl-C ends the run at once. A crash is saved as of the batch before it. Being a
    `Checkpoint`, this runs after all other callbacks, the one that averages the weights among them.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.file = Path(dirpath) / LAST
        self._signal: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}
        self._step_of_last_batch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals; elsewhere than in the main thread Python does not allow it."""
        self._signal, self._step_of_last_batch = None, trainer.global_step
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._noted) for number in SIGNALS}

    def _noted(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)
        log.info("%s: stopping after this batch, with a checkpoint", self._signal.name)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop where a signal has come; the last batch of an epoch leaves that to the first of the next.

        Raises:
            StoppedError: with the file, and how to go on.
        """
        self._step_of_last_batch = trainer.global_step
        is_wanted = self._signal is not None
        if trainer.world_size > 1:  # all ranks stop after the same batch
            is_wanted = trainer.strategy.reduce_boolean_decision(is_wanted, all=False)
        if not is_wanted or trainer.is_last_batch:
            return
        trainer.save_checkpoint(self.file)
        number = self._signal or signal.SIGTERM
        raise StoppedError(
            f"Stopped by {number.name} in epoch {trainer.current_epoch + 1}, after step {trainer.global_step}.",
            where=self.file,
            fix=f"the same command again goes on from there (elsewhere: resume={self.file})",
            exit_code=128 + number,
        )

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save a crash, unless it hit while the weights moved, while validating, or is an error of ours.

        Our own errors (a loss that is no number) say themselves that the last checkpoint is from before.
        """
        self._give_back()
        between = trainer.training and trainer.global_step == self._step_of_last_batch and trainer.global_step > 0
        if isinstance(exception, JewelenhError) or not between or trainer.world_size > 1:
            return
        try:
            trainer.save_checkpoint(self.file)
        except (OSError, RuntimeError) as second:
            log.warning("the checkpoint of the crash could not be written: %s", second)
            return
        log.warning(
            "saved as of step %d; the same command again goes on from there (elsewhere: resume=%s)",
            trainer.global_step,
            self.file,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back, before Lightning gives back its own."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}
