"""What training minimises: any `nn.Module` from (refined, target) to a scalar; named parts get curves of their own."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class PixelLoss(nn.Module):
    """`l1_weight * L1 + mse_weight * MSE`, means over all elements, values in [-1, 1]; the study used 1.0 and 0.5.

    After a call, `parts` holds the unweighted parts, for their curves; a loss without that attribute has one curve.
    """

    parts: Mapping[str, Tensor]

    def __init__(self, l1_weight: float = 1.0, mse_weight: float = 0.5) -> None:
        super().__init__()
        if min(l1_weight, mse_weight) < 0 or l1_weight == mse_weight == 0:
            found = f"l1_weight={l1_weight:g}, mse_weight={mse_weight:g}"
            raise ValueError(f"{found}: allowed is 0 or more, and not both 0")
        self.l1_weight, self.mse_weight = l1_weight, mse_weight
        self.parts = {}

    def forward(self, refined: Tensor, target: Tensor) -> Tensor:
        """Return the weighted sum."""
        l1, mse = F.l1_loss(refined, target), F.mse_loss(refined, target)
        self.parts = {"l1": l1.detach(), "mse": mse.detach()}
        return self.l1_weight * l1 + self.mse_weight * mse
