"""Adversarial training: a discriminator tells `refined` from `target`, and the network learns to pass.

What the study set aside as unstable is steadied by five things: a start from a network that already refines, a bounded
discriminator (spectral norm), a penalty on its slope (R1), an adversarial term that begins late, and averaged weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.module import Optimiser, RefinementModule
from jewelenh.refinement.perceptual import PerceptualLoss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdversarialSettings:
    """Weights of the parts, and what keeps them steady."""

    l1_weight: float = 1.0
    mse_weight: float = 0.5
    adversarial_weight: float = 0.01
    """The study used 1.0 beside an L1 of 1.0."""
    perceptual_weight: float = 0.0
    """The study used 10; above 0 needs the weights of VGG19."""
    perceptual_file: str | None = None
    """torchvision's vgg19-dcbb9e9d.pth; None asks the usual cache."""
    r1_weight: float = 1.0
    """Of half the squared slope of the discriminator at targets (Mescheder et al., ICML 2018); 0 leaves it out."""
    r1_every: int = 8
    """Batches between two penalties, each then weighs that much more (Karras et al., CVPR 2020)."""
    delay_steps: int = 200
    """Batches before the discriminator begins: until then the network learns from the other parts."""
    gradient_clip: float | None = 1.0
    """Largest norm of each network's gradient; None does not clip."""

    def __post_init__(self) -> None:
        for name in ("adversarial_weight", "perceptual_weight", "r1_weight", "delay_steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"model.loss.{name} cannot be used.", expected="0 or more", found=getattr(self, name))
        if self.r1_every < 1:
            raise ConfigError("model.loss.r1_every cannot be used.", expected="1 or more", found=self.r1_every)


class AdversarialModule(RefinementModule):
    """A `RefinementModule` whose loss has an opponent; steps of both count in `global_step`.

    Logs, besides what that logs, `train/adversarial`, `train/perceptual`, `train/discriminator`, `train/r1` and
    `train/told_apart`: the share of patches that the discriminator puts on the right side (0.5 is guessing, 1 has won).
    """

    automatic_optimization = False

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
        self.discriminator, self.settings = discriminator, settings
        self._discriminator_optimizer = discriminator_optimizer
        # in a tuple: 20 million weights that never change are no part of a checkpoint
        self._perceptual: tuple[PerceptualLoss, ...] = ()
        if settings.perceptual_weight:
            self._perceptual = (PerceptualLoss(settings.perceptual_file),)

    def configure_optimizers(self) -> Any:
        """Build both optimisers; the schedules of adversarial training are flat."""
        return self._optimizer(self.network.parameters()), self._discriminator_optimizer(
            self.discriminator.parameters()
        )

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """Move the network, then the discriminator."""
        for_network, for_discriminator = cast("list[Any]", self.optimizers())
        input, target = batch["input"], batch["target"]
        has_begun = self._n_batches >= self.settings.delay_steps and self.settings.adversarial_weight > 0
        self.toggle_optimizer(for_network)
        refined = self(input)
        self._move(for_network, self._network_loss(refined.float(), target, has_begun))
        self.untoggle_optimizer(for_network)
        if has_begun:
            self.toggle_optimizer(for_discriminator)
            self._move(for_discriminator, self._discriminator_loss(refined.detach().float(), target))
            self.untoggle_optimizer(for_discriminator)

    @property
    def _n_batches(self) -> int:
        """Return the batches before this one, over all epochs and resumes."""
        return int(self.trainer.fit_loop.total_batch_idx)

    def _network_loss(self, refined: Tensor, target: Tensor, has_begun: bool) -> Tensor:
        loss, parts = self.loss(refined, target)
        if self._perceptual:
            parts["perceptual"] = self._perceptual[0].to(refined.device)(refined, target)
            loss = loss + self.settings.perceptual_weight * parts["perceptual"]
        if has_begun:
            parts["adversarial"] = F.softplus(-self.discriminator(refined)).mean()
            loss = loss + self.settings.adversarial_weight * parts["adversarial"]
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(target))
        self._log_parts(parts, len(target))
        return torch.as_tensor(loss)

    def _discriminator_loss(self, refined: Tensor, target: Tensor) -> Tensor:
        settings, n = self.settings, len(target)
        is_penalised = settings.r1_weight > 0 and self._n_batches % settings.r1_every == 0
        real_pictures = target.detach().clone().requires_grad_(is_penalised)
        with torch.autocast(refined.device.type, enabled=False):  # slopes of bf16 are too coarse
            real, made = self.discriminator(real_pictures), self.discriminator(refined)
            loss = F.softplus(-real).mean() + F.softplus(made).mean()
            right = ((real > 0).float().mean() + (made < 0).float().mean()) / 2
            parts = {"discriminator": loss, "told_apart": right}
            if is_penalised:
                (slope,) = torch.autograd.grad(real.mean(dim=(1, 2, 3)).sum(), real_pictures, create_graph=True)
                parts["r1"] = slope.square().sum(dim=(1, 2, 3)).mean()
                loss = loss + 0.5 * settings.r1_weight * settings.r1_every * parts["r1"]
        self._log_parts(parts, n)
        return torch.as_tensor(loss)

    def _log_parts(self, parts: Mapping[str, Tensor], n: int) -> None:
        for name, value in parts.items():
            self.log(f"train/{name}", value.detach(), on_step=False, on_epoch=True, batch_size=n)

    def _move(self, optimizer: Any, loss: Tensor) -> None:
        self._last_loss = loss.detach()
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.settings.gradient_clip is not None:
            self.clip_gradients(optimizer, self.settings.gradient_clip, "norm")
        optimizer.step()


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
