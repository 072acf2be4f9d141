"""Refinement networks: plain `torch.nn.Module`s from `input` to `refined`, both (B, 3, H, W) in [-1, 1], any H and W.

A network of your own needs nothing else. These two also say how they can be tiled exactly, which is optional: `stride`,
to which they pad their input, and `radius_px`, how far a pixel of `refined` looks.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RefinementCNN(nn.Module):
    """The reference study's network: encoder, bottleneck and decoder that predict a residual within `residual_scale`.

    `refined = input + residual_scale * tanh(residual)`, BatchNorm throughout. 2,956,803 parameters at 64 features,
    741,123 at 32, 186,243 at 16.
    """

    stride = 8
    """Three halvings."""
    radius_px = 56

    def __init__(self, features: int = 64, residual_scale: float = 0.1) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        f = features
        self.encoder = nn.ModuleList(_block(a, b) for a, b in [(3, f), (f, 2 * f), (2 * f, 4 * f)])
        self.bottleneck = _block(4 * f, 4 * f)
        self.decoder = nn.ModuleList(_block(a, b) for a, b in [(4 * f, 2 * f), (2 * f, f), (f, f)])
        self.head = nn.Conv2d(f, 3, kernel_size=1)

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined` of the same shape; not clamped."""
        height, width = input.shape[-2:]
        x = _pad(input, self.stride)
        for block in self.encoder:
            x = F.max_pool2d(block(x), 2)  # (B, F, H/2, W/2), (B, 2F, H/4, W/4), (B, 4F, H/8, W/8)
        x = self.bottleneck(x)
        for block in self.decoder:
            x = block(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))
        return input + self.residual_scale * torch.tanh(self.head(x)[..., :height, :width])


def _block(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in [(n_in, n_out), (n_out, n_out)]:
        layers += [nn.Conv2d(a, b, kernel_size=3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class RefinementUNet(nn.Module):
    """A residual U-Net on a folded picture: `refined = input + residual_scale * residual`, which starts at zero.

    Neighbouring pixels are folded into channels (`fold` by `fold` of them; Shi et al., CVPR 2016, the other way round),
    because what the enhancer leaves behind is soft: at half resolution the same work looks twice as far. `blocks` are
    the residual blocks of each stage, `depth` the halvings after the fold; widths double at each, up to eight times
    `features`. 4,262,764 parameters at the defaults.
    """

    def __init__(
        self, features: int = 32, fold: int = 2, blocks: int = 2, depth: int = 3, residual_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.fold, self.stride = fold, fold * 2**depth
        self.radius_px = _unet_radius_px(fold, blocks, depth)
        widths = [features * min(2**k, 8) for k in range(depth + 1)]
        steps = list(itertools.pairwise(widths))
        self.first = nn.Conv2d(3 * fold**2, features, kernel_size=3, padding=1)
        self.encoder = nn.ModuleList(_stage(width, blocks) for width in widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(a, b, kernel_size=2, stride=2) for a, b in steps)
        self.bottleneck = _stage(widths[-1], blocks)
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, kernel_size=1) for a, b in reversed(steps))
        self.decoder = nn.ModuleList(_stage(width, blocks) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(features, 3 * fold**2, kernel_size=3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined` of the same shape; not clamped."""
        height, width = input.shape[-2:]
        x = self.first(F.pixel_unshuffle(_pad(input, self.stride), self.fold))  # (B, F, H/fold, W/fold)
        stages: list[Tensor] = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            x = stage(x)
            stages.append(x)
            x = down(x)  # (B, 2F, H/2fold, W/2fold), ...
        x = self.bottleneck(x)
        for up, stage, beside in zip(self.up, self.decoder, reversed(stages), strict=True):
            x = stage(F.pixel_shuffle(up(x), 2) + beside)
        return input + self.residual_scale * F.pixel_shuffle(self.head(x), self.fold)[..., :height, :width]


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a ReLU, added to what came in; begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))  # type: ignore[no-any-return]


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_ResidualBlock(width) for _ in range(blocks)))


def _unet_radius_px(fold: int, blocks: int, depth: int) -> int:
    """Return how far a pixel looks: two pixels a block at each stage's stride, there and back, and the halvings."""
    there_and_back = sum(4 * blocks * (1 << k) for k in range(depth))
    bottleneck = 2 * blocks * (1 << depth)
    halvings = 2 * ((1 << depth) - 1)
    return fold * (2 + there_and_back + bottleneck + halvings) + fold


def _pad(input: Tensor, stride: int) -> Tensor:
    height, width = input.shape[-2:]
    right, bottom = -width % stride, -height % stride
    return F.pad(input, (0, right, 0, bottom), mode="replicate") if right or bottom else input
