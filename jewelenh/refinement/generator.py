"""The generator of the reference study's adversarial variant."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StudyGenerator(nn.Module):
    """The study's GAN generator: `refined = input + residual_scale * residual`, 4,929,923 parameters.

    Three 4x4 convolutions of stride 2 to 64, 128 and 256 channels, three residual blocks, three transposed ones back,
    InstanceNorm throughout, a 7x7 head with tanh. InstanceNorm looks at a whole picture, so pictures larger than a tile
    of the restorer come out slightly otherwise than whole.
    """

    stride = 8

    def __init__(self, residual_scale: float = 0.2) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"residual_scale": residual_scale}
        self.residual_scale = residual_scale
        self.down = nn.Sequential(*(_down(a, b) for a, b in [(3, 64), (64, 128), (128, 256)]))
        self.middle = nn.ModuleList(_middle() for _ in range(3))
        self.up = nn.Sequential(*(_up(a, b) for a, b in [(256, 128), (128, 64), (64, 64)]))
        self.head = nn.Conv2d(64, 3, kernel_size=7, padding=3)

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined` of the same shape (B, 3, H, W), values in [-1, 1]; not clamped."""
        height, width = input.shape[-2:]
        x = self.down(F.pad(input, (0, -width % self.stride, 0, -height % self.stride), mode="replicate"))
        for block in self.middle:
            x = x + block(x)  # (B, 256, H/8, W/8)
        residual = torch.tanh(self.head(self.up(x)))[..., :height, :width]
        return input + self.residual_scale * residual


def _down(n_in: int, n_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, kernel_size=4, stride=2, padding=1)
    return nn.Sequential(convolution, nn.InstanceNorm2d(n_out), nn.ReLU(inplace=True))


def _up(n_in: int, n_out: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(n_in, n_out, kernel_size=4, stride=2, padding=1)
    return nn.Sequential(convolution, nn.InstanceNorm2d(n_out), nn.ReLU(inplace=True))


def _middle() -> nn.Sequential:
    first, second = (nn.Conv2d(256, 256, kernel_size=3, padding=1) for _ in range(2))
    return nn.Sequential(first, nn.InstanceNorm2d(256), nn.ReLU(inplace=True), second, nn.InstanceNorm2d(256))
