"""What training minimises: named parts with weights, so that every part has its own curve."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PixelLoss(nn.Module):
    """`l1_weight * L1 + mse_weight * MSE`; the reference study used 1.0 and 0.5."""

    def __init__(self, l1_weight: float = 1.0, mse_weight: float = 0.5) -> None:
        super().__init__()
        if l1_weight < 0 or mse_weight < 0 or l1_weight + mse_weight == 0:
            raise ValueError("loss weights must not be negative, and not both 0")
        self.weights = {"l1": l1_weight, "mse": mse_weight}

    def forward(self, refined: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its unweighted parts; means over all elements, values in [-1, 1]."""
        parts = {"l1": F.l1_loss(refined, target), "mse": F.mse_loss(refined, target)}
        return self.weights["l1"] * parts["l1"] + self.weights["mse"] * parts["mse"], parts
