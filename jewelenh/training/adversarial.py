"""Training against a discriminator, which learns to tell what the network makes from its target.

What the reference study set aside as unstable is steadied by five things: a start from a network that already works, a
bounded discriminator (spectral norm), a gradient penalty (R1), a term that begins late, and averaged weights.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from jewelenh.refinement.module import Optimiser, RefinementModule, check_finite
from jewelenh.training.perceptual import PerceptualLoss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdversarialSettings:
    """Weights beside the pixel loss, and what keeps the two sides steady."""

    adversarial_weight: float = 0.01
    """The study used 1.0 beside an L1 of 1.0."""
    perceptual_weight: float = 0.0
    """The study used 10; above 0 needs the weights of VGG19."""
    perceptual_file: str | None = None
    """torchvision's vgg19-dcbb9e9d.pth; None asks the usual cache."""
    r1_weight: float = 1.0
    """Of half the squared gradient of the discriminator at targets (Mescheder et al., ICML 2018); 0 leaves it out."""
    r1_every: int = 8
    """Batches between two penalties, each then weighs that much more (Karras et al., CVPR 2020)."""
    delay_steps: int = 200
    """Batches before the discriminator begins: until then the network learns from the other parts."""
    gradient_clip: float | None = 1.0
    """Largest norm of each side's gradient; None does not clip."""

    def __post_init__(self) -> None:
        for name in ("adversarial_weight", "perceptual_weight", "r1_weight", "delay_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: allowed is 0 or more")
        if self.r1_every < 1:
            raise ValueError(f"r1_every={self.r1_every}: allowed is 1 or more")


class GeneratorOutput(NamedTuple):
    """What a network made of a batch: pictures (B, 3, H, W) in [-1, 1], their targets, the pixel loss and its parts."""

    pictures: Tensor
    targets: Tensor
    loss: Tensor
    parts: dict[str, Tensor]


class AdversarialTraining(pl.LightningModule):
    """Mixed in before a module that trains `network`; that module says what is made of a batch.

    Logs `train/loss`, `train/adversarial`, `train/perceptual`, `train/discriminator`, `train/r1` and
    `train/discriminator_accuracy`: the share of patches that the discriminator puts on the right side (0.5 is guessing,
    1 has won). Steps of both sides count in `global_step`.
    """

    network: nn.Module
    _optimizer: Optimiser

    def __init__(
        self,
        *args: Any,
        discriminator: nn.Module,
        settings: AdversarialSettings,
        discriminator_optimizer: Optimiser,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.automatic_optimization = False
        self.discriminator, self.settings = discriminator, settings
        self._discriminator_optimizer = discriminator_optimizer
        # in a tuple: 20 million weights that never change are no part of a checkpoint
        self._perceptual = (PerceptualLoss(settings.perceptual_file),) if settings.perceptual_weight else ()

    @abstractmethod
    def generate(self, batch: Mapping[str, Any]) -> GeneratorOutput:
        """Run the network over a batch of training."""

    def configure_optimizers(self) -> Any:
        """Build both optimisers; their learning rates stay as they are."""
        of_network = self._optimizer(self.network.parameters())
        return of_network, self._discriminator_optimizer(self.discriminator.parameters())

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """Move the network, then the discriminator."""
        for_network, for_discriminator = cast("list[Any]", self.optimizers())
        has_begun = self._n_batches >= self.settings.delay_steps and self.settings.adversarial_weight > 0
        self.toggle_optimizer(for_network)
        made = self.generate(batch)
        self._move(for_network, self._network_loss(made, has_begun))
        self.untoggle_optimizer(for_network)
        if has_begun:
            self.toggle_optimizer(for_discriminator)
            self._move(for_discriminator, self._discriminator_loss(made.pictures.detach(), made.targets))
            self.untoggle_optimizer(for_discriminator)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stop before a NaN or infinite loss reaches the weights of either side."""
        check_finite(self._last_loss, self.global_step)

    @property
    def _n_batches(self) -> int:
        """Return the batches before this one, over all epochs and resumes."""
        return int(self.trainer.fit_loop.total_batch_idx)

    def _network_loss(self, made: GeneratorOutput, has_begun: bool) -> Tensor:
        loss, parts = made.loss, dict(made.parts)
        if self._perceptual:
            judge = self._perceptual[0].to(made.pictures.device)
            parts["perceptual"] = judge(made.pictures, made.targets)
            loss = loss + self.settings.perceptual_weight * parts["perceptual"]
        if has_begun:
            parts["adversarial"] = F.softplus(-self.discriminator(made.pictures)).mean()
            loss = loss + self.settings.adversarial_weight * parts["adversarial"]
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(made.targets))
        self._log_parts(parts, len(made.targets))
        return loss

    def _discriminator_loss(self, pictures: Tensor, targets: Tensor) -> Tensor:
        is_penalised = self.settings.r1_weight > 0 and self._n_batches % self.settings.r1_every == 0
        targets = targets.detach().clone().requires_grad_(is_penalised)
        with torch.autocast(pictures.device.type, enabled=False):  # gradients of gradients in bf16 are too coarse
            real, made = self.discriminator(targets), self.discriminator(pictures)
            loss = F.softplus(-real).mean() + F.softplus(made).mean()
            accuracy = ((real > 0).float().mean() + (made < 0).float().mean()) / 2
            parts = {"discriminator": loss, "discriminator_accuracy": accuracy}
            if is_penalised:
                (slope,) = torch.autograd.grad(real.mean(dim=(1, 2, 3)).sum(), targets, create_graph=True)
                parts["r1"] = slope.square().sum(dim=(1, 2, 3)).mean()
                loss = loss + 0.5 * self.settings.r1_weight * self.settings.r1_every * parts["r1"]
        self._log_parts(parts, len(targets))
        return loss

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


class AdversarialModule(AdversarialTraining, RefinementModule):
    """A `RefinementModule` whose network is also trained against a discriminator."""

    def generate(self, batch: Mapping[str, Any]) -> GeneratorOutput:
        """Refine a batch; pictures and targets in [-1, 1]."""
        refined = self(batch["input"]).float()
        return GeneratorOutput(refined, batch["target"], *self.compare(refined, batch["target"]))


class PatchDiscriminator(nn.Module):
    """Says of every 70x70 patch how real it looks (Isola et al., CVPR 2017): (B, 3, 256, 256) to (B, 1, 30, 30) logits.

    2,764,737 parameters at 64 features. `normalise` is the study's InstanceNorm; `spectral` bounds each layer's gain
    instead (Miyato et al., ICLR 2018), which keeps training steady.
    """

    def __init__(self, features: int = 64, normalise: bool = False, spectral: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 3
        for number, (n_out, stride) in enumerate([(1, 2), (2, 2), (4, 2), (8, 1)]):
            conv = nn.Conv2d(n_in, features * n_out, kernel_size=4, stride=stride, padding=1)
            layers.append(spectral_norm(conv) if spectral else conv)
            if normalise and number:
                layers.append(nn.InstanceNorm2d(features * n_out))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            n_in = features * n_out
        last = nn.Conv2d(n_in, 1, kernel_size=4, padding=1)
        self.layers = nn.Sequential(*layers, spectral_norm(last) if spectral else last)

    def forward(self, picture: Tensor) -> Tensor:
        """Return logits, one a patch: positive looks like a target."""
        return cast(Tensor, self.layers(picture))
