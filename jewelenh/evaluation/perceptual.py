"""LPIPS (Zhang et al., CVPR 2018), version 0.1 on AlexNet: how far apart two pictures look to a network.

The five linear layers travel with torchmetrics; AlexNet's ImageNet weights (233 MB) do not, and are never downloaded
here: they are taken from torch's download cache or from a file you name, and without them LPIPS is left out.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch
import torchmetrics
from torch import Tensor, nn

from jewelenh.errors import WeightsError

FILE_NAME = "alexnet-owt-7be5be79.pth"
"""torchvision's ImageNet weights; the name ends with the first 8 digits of the file's SHA-256."""
HOW_TO_GET = (
    "python -c \"import torchvision; torchvision.models.alexnet(weights='IMAGENET1K_V1')\" puts AlexNet's weights"
    " into torch's cache; or lpips_weights=<file>"
)
TAPS = (1, 4, 7, 9, 11)
"""The ReLUs of torchvision's `alexnet().features` that LPIPS compares."""


def cached_file(name: str = FILE_NAME) -> Path | None:
    """Return a file of torch's download cache, if it is there."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    return file if file.is_file() else None


class Lpips(nn.Module):
    """The distance itself: float (B, 3, H, W) pictures in [0, 1] to (B,) values, 0 for equal ones."""

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Path) -> None:
        """Read AlexNet's weights from `weights`; raise WeightsError for a file that holds something else."""
        super().__init__()
        from torchvision.models import alexnet

        self.features = alexnet(weights=None).features.eval()
        self.sha256 = _load(self.features, weights)
        self.heads = _linear_heads()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Return the distance of each picture to its target."""
        total = torch.zeros(len(image), device=image.device)
        for head, first, second in zip(self.heads, self._stages(image), self._stages(target), strict=True):
            squared = (_unit(first) - _unit(second)) ** 2  # (B, C, h, w)
            total = total + (squared * head).sum(dim=1).mean(dim=(1, 2))
        return total

    def _stages(self, picture: Tensor) -> list[Tensor]:
        x = (picture.float() * 2 - 1 - self.shift) / self.scale
        stages = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                stages.append(x.clone())  # the ReLUs after the next convolution work in place
        return stages


def find_lpips(weights: Path | None = None) -> tuple[Lpips | None, str]:
    """Return LPIPS and how it is made, or None and why it is left out.

    Raises:
        WeightsError: `weights` is given and is no AlexNet.
    """
    file = weights.expanduser() if weights else cached_file()
    if file is None:
        return None, f"LPIPS is left out: AlexNet's weights are not on this machine. To have it: {HOW_TO_GET}"
    lpips = Lpips(file)
    made = f"LPIPS 0.1 on AlexNet ({file.name}, sha256 {lpips.sha256[:16]}), linear layers of torchmetrics"
    return lpips, f"{made} {torchmetrics.__version__}, pictures at full size"


def _load(features: nn.Module, file: Path) -> str:
    """Read AlexNet's convolutions; return the file's hash."""
    if not file.is_file():
        raise WeightsError("There is no such file of AlexNet weights.", where=file, fix=HOW_TO_GET)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if file.name == FILE_NAME and not sha256.startswith("7be5be79"):
        raise WeightsError(
            "The file is not what its name says.", where=file, expected="sha256 7be5be79...", found=sha256[:16]
        )
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        prefix = "features."
        features.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError) as error:
        found = " ".join(str(error).split())[:200]
        raise WeightsError(
            "The file holds no weights of AlexNet.", where=file, expected="a state dict", found=found
        ) from error
    return sha256


def _linear_heads() -> nn.ParameterList:
    """Return the published weights of the five layers' channels, each (C, 1, 1)."""
    file = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
    state = torch.load(file, map_location="cpu", weights_only=True)
    return nn.ParameterList(state[f"lin{n}.model.1.weight"].view(-1, 1, 1) for n in range(len(TAPS)))


def _unit(features: Tensor) -> Tensor:
    return features / (features.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10)
