"""The discriminator that judges patches."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


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
