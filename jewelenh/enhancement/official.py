"""The reference implementation, to check the batched engine against: `realesrgan.RealESRGANer` on `basicsr` networks.

It takes one plane at a time, in fp32 or half. An error in a tile, which it prints and passes over, is an error here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torchvision.transforms.functional
from torch import Tensor, nn

from jewelenh.config import Hardware
from jewelenh.enhancement.network import Network
from jewelenh.errors import ConfigError, ImageError, WeightsError
from jewelenh.hardware import Precision
from jewelenh.images import Pixels, resize

# basicsr 1.4.2 imports a module that torchvision 0.17 dropped; all it takes from it is `rgb_to_grayscale`.
sys.modules.setdefault("torchvision.transforms.functional_tensor", torchvision.transforms.functional)
try:
    from basicsr.archs.rrdbnet_arch import RRDBNet
    from realesrgan import RealESRGANer
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact
except ImportError as error:
    raise ConfigError(
        "enhancer.engine=official needs packages that are not installed.",
        found=error,
        fix="pip install 'jewelenh[realesrgan]' && pip install --no-deps basicsr==1.4.2 realesrgan==0.3.0"
        " (Python below 3.13), or enhancer.engine=batched",
    ) from error


class OfficialEngine:
    """What `Batches` is for our own engine."""

    def __init__(self, network: Network, strength: float, hardware: Hardware, device: torch.device) -> None:
        if hardware.precision == "bf16" or hardware.compile:
            raise ConfigError(
                "enhancer.engine=official runs in fp32 or fp16 and is not compiled.",
                fix="hardware.precision=fp32 hardware.compile=false, or enhancer.engine=batched",
            )
        is_half = hardware.precision == "fp16" or (hardware.precision == "auto" and device.type == "cuda")
        self.precision: Precision = "fp16" if is_half else "fp32"
        self.strength, model = strength, _network(network)
        tile = hardware.tile if isinstance(hardware.tile, int) else 0
        with tempfile.NamedTemporaryFile(suffix=".pth") as file:  # it takes weights from a file only
            torch.save({"params": dict(network.state)}, file.name)
            options = {"tile": tile, "tile_pad": 10, "pre_pad": 0, "half": is_half, "device": device}
            self.engine = RealESRGANer(network.scale, file.name, model=model, **options)
        model.forward = _never_passed_over(model.forward)

    def add(self, pixels: Pixels, receive: Callable[[Pixels | ImageError], None]) -> None:
        """Enlarge a plane (H, W, 3)."""
        try:
            if pixels.dtype == np.uint16 and pixels.max() <= 256:
                raise ImageError("The official engine takes this dark 16-bit photo for 8 bits.")
            large = np.asarray(self.engine.enhance(pixels[..., ::-1])[0])[..., ::-1]
        except ImageError as error:
            receive(error)
            return
        if self.strength < 1:
            bicubic = resize(pixels, large.shape[0], large.shape[1], "bicubic").astype(np.float32)
            large = np.rint(bicubic + (large - bicubic) * self.strength).astype(pixels.dtype)
        receive(np.ascontiguousarray(large))

    def finish(self) -> None:
        """Nothing waits."""


def _never_passed_over(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Raise what is no RuntimeError: that it prints, and goes on with the pixels of the tile before."""

    def strict(unit: Tensor) -> Tensor:
        try:
            large = forward(unit)
        except RuntimeError as error:
            raise ImageError(f"The official engine failed: {error}", fix="a smaller hardware.tile") from error
        if not torch.isfinite(large).all():
            raise ImageError("The network gave NaN or infinity.", fix="hardware.precision=fp32")
        return large

    return strict


def _network(network: Network) -> nn.Module:
    """Return the network of `basicsr` that the weights are for."""
    state: Mapping[str, Tensor] = network.state
    if "body.0.weight" in state:
        n_convolutions = sum(value.ndim == 4 for value in state.values()) - 2
        made: nn.Module = SRVGGNetCompact(3, 3, len(state["body.0.weight"]), n_convolutions, network.scale, "prelu")
    elif "conv_first.weight" in state:
        n_blocks = len({key.split(".")[1] for key in state if key.startswith("body.")})
        growth = len(state["body.0.rdb1.conv1.weight"])
        made = RRDBNet(3, 3, network.scale, len(state["conv_first.weight"]), n_blocks, growth)
    else:
        raise WeightsError("enhancer.engine=official has no such network.", found=network.architecture)
    return made
