"""What a kind of training brings to the common run of `jewelenh.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytorch_lightning as pl


@dataclass(frozen=True)
class Recipe:
    """A module, its data, and how the run ends."""

    module: pl.LightningModule
    data: pl.LightningDataModule
    conclude: Callable[[pl.Trainer, Path, Path], dict[str, float]]
    """(trainer, tested checkpoint, run directory) -> numbers for the loggers, `score` among them; prints its ending."""
    tested: str = "best.ckpt"
    """The checkpoint that is tested: the best by validation PSNR, unless PSNR is not what the training is for."""
