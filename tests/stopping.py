"""A callback that stops a run as a cluster would: with SIGTERM, before the batch of a step."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytorch_lightning as pl


class TerminateAt(pl.Callback):
    """Send this process SIGTERM once, before the batch in which step `step` would be taken."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            self.step = -1
            os.kill(os.getpid(), signal.SIGTERM)
