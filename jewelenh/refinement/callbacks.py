"""What a run says while it trains: a line per validation with the numbers that matter and the time left."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class EpochLine(pl.Callback):
    """Log `epoch 3/20  loss 0.0213  val 31.20 dB (input 30.11, gain +1.09)  2 min left` after every validation."""

    def __init__(self) -> None:
        self._started_s = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started_s, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the line; epochs without validation are passed over."""
        n_done, n_all = trainer.current_epoch + 1, trainer.max_epochs or -1
        every = trainer.check_val_every_n_epoch or 1
        if not trainer.is_global_zero or n_done % every:
            return
        passed_s = time.monotonic() - self._started_s
        left_s = passed_s / max(1, n_done - self._first_epoch) * max(0, n_all - n_done)
        log.info("epoch %d/%s%s  %s left", n_done, n_all if n_all > 0 else "?", _numbers(trainer), _time(left_s))


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
