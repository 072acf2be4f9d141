"""A super-resolution network in training: one loss, and held-out photos scored beside bicubic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from jewelenh.images import from_unit, to_unit
from jewelenh.metrics import psnr_db
from jewelenh.refinement.module import RefinementModule
from jewelenh.training.adversarial import AdversarialTraining, GeneratorOutput

KEY = "jewelenh_esrgan"


class SteadyLoss(nn.Module):
    """L1 of the pixels, plus L1 of block averages, which keeps plain surfaces from drifting in brightness or colour.

    In a textured patch the signs of L1's gradient cancel, and an offset of a grey level or two hides; averaged over
    a block of `block_px` it does not.
    """

    def __init__(self, block_weight: float = 0.5, block_px: tuple[int, ...] = (4, 16)) -> None:
        super().__init__()
        self.block_weight, self.block_px = block_weight, tuple(block_px)

    def forward(self, made: Tensor, high: Tensor) -> Tensor:
        """Return the weighted sum; blocks that do not fit the patch are left out."""
        difference = made - high
        loss = difference.abs().mean()
        for side in self.block_px:
            if side <= min(difference.shape[-2:]):
                loss = loss + self.block_weight * functional.avg_pool2d(difference, side).abs().mean()
        return loss


class SuperResolutionModule(RefinementModule):
    """Trains any network from `low`, (B, 3, h, w) in [0, 1], to the larger `high`.

    Logs `train/loss`; `val/psnr_db_clean`, `val/psnr_db_degraded` and their mean `val/psnr_db`, which picks the best
    checkpoint; `val/psnr_db_input` is that mean for bicubic.
    """

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Tensor | None:
        """Return the loss of one batch, in [0, 1]; a NaN or infinite loss stops the run."""
        unit = {"input": to_unit(batch["low"]), "target": to_unit(batch["high"])}
        return super().training_step(unit, batch_index)

    def validation_step(self, batch: Mapping[str, Tensor], batch_index: int) -> None:
        """Score 8-bit results of one batch of held-out photos, clean and degraded, beside bicubic."""
        high, n = to_unit(batch["high"]), len(batch["high"])
        values = {}
        for kind, name in {"clean": "low", "degraded": "degraded"}.items():
            low = to_unit(batch[name])
            bicubic = functional.interpolate(low, size=high.shape[-2:], mode="bicubic")
            values[f"val/psnr_db_{kind}"] = psnr_db(_eight_bit(self(low)), high).mean()
            values[f"val/psnr_db_input_{kind}"] = psnr_db(_eight_bit(bicubic), high).mean()
        for name in ("val/psnr_db", "val/psnr_db_input"):
            values[name] = (values[f"{name}_clean"] + values[f"{name}_degraded"]) / 2
        values["val/gain_db"] = values["val/psnr_db"] - values["val/psnr_db_input"]
        for name, value in values.items():
            self.log(name, value, prog_bar=name == "val/gain_db", batch_size=n, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint what it is."""
        checkpoint[KEY] = dict(self._about())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave it to Lightning to see whether the weights fit."""


class AdversarialSuperResolution(AdversarialTraining, SuperResolutionModule):
    """A `SuperResolutionModule` whose network is also trained against a discriminator; logs what both log."""

    def generate(self, batch: Mapping[str, Any]) -> GeneratorOutput:
        """Enlarge a batch; the pixel loss is of [0, 1], the pictures of the discriminator of [-1, 1]."""
        made, high = self(to_unit(batch["low"])).float(), to_unit(batch["high"])
        loss = self.loss(made, high)
        return GeneratorOutput(made * 2 - 1, high * 2 - 1, loss, {"pixels": loss})


def _eight_bit(unit: Tensor) -> Tensor:
    return to_unit(from_unit(unit, torch.uint8))
