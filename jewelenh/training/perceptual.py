"""The perceptual loss: how far apart two pictures are in the features of VGG19."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jewelenh.errors import WeightsError

log = logging.getLogger(__name__)

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""ImageNet weights of torchvision (BSD-3-Clause)."""
LAYERS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}
"""Convolutions 1_2, 2_2, 3_4, 4_4, 5_4 before their ReLU, and their weights (Wang et al., Real-ESRGAN, 2021)."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, RGB in [0, 1]: what the weights were trained with."""


class PerceptualLoss(nn.Module):
    """L1 between the VGG19 features of two pictures, (B, 3, H, W) in [-1, 1]; sides of at least 16 pixels.

    Args:
        file: torchvision's `vgg19-dcbb9e9d.pth`; None takes it from the usual cache, or downloads it into it.

    Raises:
        WeightsError: it cannot be had, or is another file.
    """

    def __init__(self, file: str | Path | None = None) -> None:
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers

        self.features = make_layers(cfgs["E"])[: max(LAYERS) + 1]
        self.load(_weights(None if file is None else Path(file).expanduser()))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.requires_grad_(False).eval()

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the convolutions of a VGG19's state; the classifier is left out."""
        wanted = self.features.state_dict()
        given = {name.removeprefix("features."): value for name, value in weights.items()}
        missing = [name for name in wanted if name not in given or given[name].shape != wanted[name].shape]
        if missing:
            raise WeightsError(
                "These are no weights of VGG19.", expected=f"features.{missing[0]}", found=sorted(given)[:3]
            )
        self.features.load_state_dict({name: given[name] for name in wanted})

    def forward(self, refined: Tensor, target: Tensor) -> Tensor:
        """Return the weighted sum over the layers; gradients flow to `refined`."""
        x, y = (((picture + 1) / 2 - self.mean) / self.std for picture in (refined, target))  # type: ignore[operator]
        total = refined.new_zeros(())
        for number, layer in enumerate(self.features):
            x, y = layer(x), layer(y)
            if number in LAYERS:
                total = total + LAYERS[number] * F.l1_loss(x, y)
                x, y = x.clone(), y.clone()  # the next ReLU works in place
        return total


def _weights(file: Path | None) -> dict[str, Any]:
    try:
        if file is not None:
            return dict(torch.load(file, map_location="cpu", weights_only=True))
        return dict(torch.hub.load_state_dict_from_url(URL, map_location="cpu", check_hash=True, weights_only=True))
    except Exception as error:  # torch.hub passes on whatever the network raises
        cache = Path(torch.hub.get_dir()) / "checkpoints" / URL.rsplit("/", 1)[-1]
        raise WeightsError(
            "The weights of the perceptual loss cannot be had.",
            where=file or cache,
            expected=f"torchvision's VGG19, {URL}",
            found=str(error).splitlines()[0] if str(error) else repr(error),
            fix="put the file there, or perceptual_file=<its path> beside perceptual_weight, or train without it: "
            "perceptual_weight=0",
        ) from error
