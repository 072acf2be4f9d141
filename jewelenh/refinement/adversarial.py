"""The refinement network in a game against a discriminator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jewelenh.adversarial.game import Game, GameSettings, Made
from jewelenh.errors import CheckpointError
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.module import Optimiser, RefinementModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdversarialSettings(GameSettings):
    """The game's weights and those of the pixel loss beside them."""

    l1_weight: float = 1.0
    mse_weight: float = 0.5


class AdversarialModule(Game, RefinementModule):
    """A `RefinementModule` whose loss has an opponent; logs what both log."""

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        settings: AdversarialSettings,
        optimizer: Optimiser,
        discriminator_optimizer: Optimiser,
        about: Callable[[], Mapping[str, Any]] = dict,
        compile: bool = False,
    ) -> None:
        loss = PixelLoss(settings.l1_weight, settings.mse_weight)
        super().__init__(network, loss, optimizer, about=about, compile=compile)
        self.enter(discriminator, settings, discriminator_optimizer)

    def make(self, batch: Mapping[str, Any]) -> Made:
        """Refine a batch; pictures and targets in [-1, 1]."""
        refined = self(batch["input"]).float()
        loss, parts = self.loss(refined, batch["target"])
        return Made(refined, batch["target"], loss, parts)

    def network_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser of the refinement network."""
        return self._optimizer(self.network.parameters())


def warm_start(network: nn.Module, file: Path) -> None:
    """Put the weights of a checkpoint of a network of the same make into `network`.

    Raises:
        CheckpointError: no checkpoint, or of another network.
    """
    read = read_checkpoint(file)
    try:
        network.load_state_dict(dict(read.weights))
    except RuntimeError as error:
        raise CheckpointError(
            "The network cannot start from this checkpoint.",
            where=file,
            expected=f"{type(network).__name__} {getattr(network, 'settings', '')}",
            found=f"{read.network_class.rsplit('.', 1)[-1]} {dict(read.settings)}",
            fix="model/network with the settings that the checkpoint was trained with, or model.warm_start=null",
        ) from error
    log.info("starting from %s (epoch %d)", file, read.epoch)
