"""What validation said of the checkpoint that training keeps as its best."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


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
