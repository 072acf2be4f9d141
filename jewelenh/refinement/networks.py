"""Refinement networks: plain `torch.nn.Module`s from `input` to `refined`, both (B, 3, H, W) in [-1, 1], any H and W.

Each keeps the numbers that rebuild it in `settings`, so that a checkpoint can be loaded without pickles.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Three halvings: sides are padded to a multiple of this and cropped back."""


class RefinementCNN(nn.Module):
    """Encoder, bottleneck and decoder that predict a residual: `refined = input + residual_scale * residual`.

    With the defaults this is the reference study's network: 2,956,803 parameters at 64 features, 741,123 at 32, 186,243
    at 16. The options are ours: `skip_connections` hands each encoder stage to its decoder stage; `identity_start`
    begins with a residual of exactly zero; `bounded` puts the tanh of the study on the residual, without it the
    residual is free; `normalise` keeps the BatchNorm of the study.
    """

    def __init__(
        self,
        features: int = 64,
        residual_scale: float = 0.1,
        skip_connections: bool = False,
        identity_start: bool = False,
        bounded: bool = True,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "features": features,
            "residual_scale": residual_scale,
            "skip_connections": skip_connections,
            "identity_start": identity_start,
            "bounded": bounded,
            "normalise": normalise,
        }
        self.residual_scale, self.skip_connections, self.bounded = residual_scale, skip_connections, bounded
        f = features
        skips = [4 * f, 2 * f, f] if skip_connections else [0, 0, 0]
        self.encoder = nn.ModuleList(_block(a, b, normalise) for a, b in [(3, f), (f, 2 * f), (2 * f, 4 * f)])
        self.bottleneck = _block(4 * f, 4 * f, normalise)
        widths = [(4 * f, 2 * f), (2 * f, f), (f, f)]
        self.decoder = nn.ModuleList(_block(a + s, b, normalise) for (a, b), s in zip(widths, skips, strict=True))
        self.head = nn.Conv2d(f, 3, kernel_size=1)
        if not normalise:
            self._keep_variance()
        if identity_start:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def _keep_variance(self) -> None:
        """Start with He's initialisation (2015): without BatchNorm the default one fades out over fourteen layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined` of the same shape; not clamped."""
        height, width = input.shape[-2:]
        x = _pad(input)
        stages: list[Tensor] = []
        for block in self.encoder:
            x = block(x)  # (B, F, H, W), (B, 2F, H/2, W/2), (B, 4F, H/4, W/4)
            stages.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)  # (B, 4F, H/8, W/8)
        for block, stage in zip(self.decoder, reversed(stages), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, stage], dim=1) if self.skip_connections else x)
        residual = self.head(x)[..., :height, :width]
        return input + self.residual_scale * (torch.tanh(residual) if self.bounded else residual)


def _block(n_in: int, n_out: int, normalise: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in [(n_in, n_out), (n_out, n_out)]:
        layers.append(nn.Conv2d(a, b, kernel_size=3, padding=1))
        if normalise:
            layers.append(nn.BatchNorm2d(b))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _pad(input: Tensor) -> Tensor:
    height, width = input.shape[-2:]
    right, bottom = -width % STRIDE, -height % STRIDE
    return F.pad(input, (0, right, 0, bottom), mode="replicate") if right or bottom else input
