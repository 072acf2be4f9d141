"""What training minimises: named parts with weights, so that every part has its own curve."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PSNR_FLOOR = 1e-5
"""Added to the squared error on [0, 1] before the logarithm: above 50 dB nothing pulls harder."""


class PixelLoss(nn.Module):
    """`l1_weight * L1 + mse_weight * MSE + psnr_weight * (-PSNR)`; the reference study used 1.0, 0.5 and 0.

    L1 and MSE are means over all elements, values in [-1, 1]. The PSNR, in dB, is each picture's own, averaged over the
    batch (Chen et al., NAFNet, ECCV 2022): a decibel counts the same on a photo that is nearly right and on one that is
    far off, where MSE cares for the second alone.
    """

    def __init__(self, l1_weight: float = 1.0, mse_weight: float = 0.5, psnr_weight: float = 0.0) -> None:
        super().__init__()
        self.weights = {"l1": l1_weight, "mse": mse_weight, "psnr": psnr_weight}
        if min(self.weights.values()) < 0 or sum(self.weights.values()) == 0:
            raise ValueError("loss weights must not be negative, and not all 0")

    def forward(self, refined: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its unweighted parts; those that weigh nothing are left out."""
        parts = {"l1": F.l1_loss(refined, target), "mse": F.mse_loss(refined, target)}
        if self.weights["psnr"]:
            error = (refined - target).square().mean(dim=(1, 2, 3)) / 4  # of [0, 1]
            parts["psnr"] = 10 * torch.log10(error + PSNR_FLOOR).mean()
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum(), parts
