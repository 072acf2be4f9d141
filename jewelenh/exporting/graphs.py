"""What is exported: the refinement network alone, and the whole chain from a photo to its restored picture.

Both are plain modules in float32. They hold what surrounds the networks at inference, so that a user of the graph only
converts 8-bit pixels to floats and back.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jewelenh.enhancement.network import Network


class Refinement(nn.Module):
    """`input` to `refined`, float (B, 3, H, W) RGB in [-1, 1], any H and W."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined`, clamped to [-1, 1]."""
        return self.network(input).clamp(-1, 1)  # type: ignore[no-any-return]


class RefinementChain(nn.Module):
    """`photo` to (`enhanced`, `refined`): float (B, 3, H, W) RGB in [0, 1] to `scale` times the sides, in [0, 1].

    Between the two networks nothing is rounded to 8 bits; `Restorer`, which keeps pictures in the photo's own depth,
    does round there, by at most half a grey level.
    """

    def __init__(self, enhancer: Network, refinement: nn.Module, strength: float = 1.0) -> None:
        super().__init__()
        self.enhancer, self.refinement = enhancer.module, refinement
        self.scale, self.multiple, self.strength = enhancer.scale, enhancer.multiple, strength

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Return the enhancer's picture, and the refined one."""
        enhanced = self._enhance(photo).clamp(0, 1)
        refined = self.refinement(enhanced * 2 - 1)
        return enhanced, ((refined + 1) / 2).clamp(0, 1)

    def _enhance(self, photo: Tensor) -> Tensor:
        height, width = photo.shape[-2:]
        padded = photo
        if self.multiple > 1:
            right, bottom = -width % self.multiple, -height % self.multiple
            padded = F.pad(photo, (0, right, 0, bottom), mode="reflect")
        large: Tensor = self.enhancer(padded)[..., : height * self.scale, : width * self.scale]
        if self.strength == 1:
            return large
        bicubic = F.interpolate(photo, scale_factor=float(self.scale), mode="bicubic")
        return torch.lerp(bicubic.clamp(0, 1), large.clamp(0, 1), self.strength)
