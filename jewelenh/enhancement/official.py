"""The reference implementation: `realesrgan.RealESRGANer` with `basicsr` networks, one photo at a time.

It is run as it is, and watched: it prints and swallows errors of a tile and goes on with the pixels of the tile before,
and it takes a 16-bit photo for an 8-bit one when it is dark. Here both end as an error of that photo.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jewelenh.config import Hardware
from jewelenh.enhancement.network import Network
from jewelenh.errors import ConfigError, ImageError, WeightsError
from jewelenh.hardware import Precision
from jewelenh.images import Photo, Pixels, resize

# basicsr 1.4.2 imports a module that torchvision 0.17 dropped; all it takes from it is `rgb_to_grayscale`.
_FUNCTIONAL = importlib.import_module("torchvision.transforms.functional")
sys.modules.setdefault("torchvision.transforms.functional_tensor", _FUNCTIONAL)
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

TILE_PAD_PX = 10
"""What RealESRGANer and the reference study use."""


class OfficialEngine:
    """The official engine behind an `Upscaler`; it knows fp32 and half, and like its own script halves on CUDA."""

    def __init__(self, network: Network, strength: float, hardware: Hardware, device: torch.device) -> None:
        if hardware.precision == "bf16" or hardware.compile:
            raise ConfigError(
                "enhancer.engine=official runs in fp32 or fp16 and is not compiled.",
                found=f"hardware.precision={hardware.precision}, hardware.compile={str(hardware.compile).lower()}",
                fix="hardware.precision=fp32 hardware.compile=false, or enhancer.engine=batched",
            )
        is_half = hardware.precision == "fp16" or (hardware.precision == "auto" and device.type == "cuda")
        self.precision: Precision = "fp16" if is_half else "fp32"
        self.strength, self.watched = strength, _Watched(_build(network))
        with tempfile.TemporaryDirectory() as folder:  # RealESRGANer takes weights from a file only
            file = Path(folder) / "weights.pth"
            torch.save({"params": dict(network.state)}, file)
            self.engine = RealESRGANer(
                scale=network.scale,
                model_path=str(file),
                model=self.watched,
                tile=hardware.tile if isinstance(hardware.tile, int) else 0,
                tile_pad=TILE_PAD_PX,
                pre_pad=0,
                half=is_half,
                device=device,
            )

    def upscale(self, photo: Photo) -> Photo | ImageError:
        """Enlarge one photo, or return what the engine would have passed over."""
        if photo.pixels.dtype == np.uint16 and photo.pixels.max() <= 256:
            what = "The official engine takes this dark 16-bit photo for 8 bits."
            return ImageError(what, fix="enhancer.engine=batched")
        before = _as_opencv_reads(photo)
        self.watched.error = None
        large = np.asarray(self.engine.enhance(before)[0])
        if self.watched.error is not None:
            what = f"The official engine passed over an error: {self.watched.error}"
            return ImageError(what, fix="a smaller hardware.tile")
        if self.strength < 1:
            bicubic = resize(before, large.shape[0], large.shape[1], "bicubic").astype(np.float32)
            mixed = bicubic + (large.astype(np.float32) - bicubic) * self.strength
            large = np.rint(mixed).clip(0, np.iinfo(large.dtype).max).astype(large.dtype)
        if large.ndim == 2:
            return photo.with_pixels(np.repeat(large[..., None], 3, axis=2))
        alpha = np.ascontiguousarray(large[..., 3]) if large.shape[2] == 4 else None
        return photo.with_pixels(np.ascontiguousarray(large[..., 2::-1]), alpha)


def _as_opencv_reads(photo: Photo) -> Pixels:
    """Return the photo as grey, BGR or BGRA, which the engine tells apart by its shape."""
    if photo.alpha is not None:
        return np.dstack([photo.pixels[..., ::-1], photo.alpha])
    return np.ascontiguousarray(photo.pixels[..., 0] if photo.is_grey else photo.pixels[..., ::-1])


class _Watched(nn.Module):
    """Remembers the error that the engine swallows, and refuses NaN."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.error: Exception | None = None

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load into the network itself, whose names the file has."""
        return self.network.load_state_dict(state, strict=strict, assign=assign)

    def forward(self, unit: Tensor) -> Tensor:
        """Run the network; what goes wrong is kept and raised again."""
        try:
            large: Tensor = self.network(unit)
            if not torch.isfinite(large).all():
                raise ImageError("The network gave NaN or infinity.", fix="hardware.precision=fp32")
        except Exception as error:
            self.error = error
            raise
        return large


def _build(network: Network) -> nn.Module:
    """Return the basicsr network that fits the weights."""
    state = network.state
    if "body.0.weight" in state:
        n_convolutions = sum(key.endswith(".weight") and value.ndim == 4 for key, value in state.items()) - 2
        width = state["body.0.weight"].shape[0]
        compact: nn.Module = SRVGGNetCompact(3, 3, width, n_convolutions, network.scale, "prelu")
        return compact
    if "conv_first.weight" in state:
        n_blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("body."))
        width, growth = state["conv_first.weight"].shape[0], state["body.0.rdb1.conv1.weight"].shape[0]
        full: nn.Module = RRDBNet(3, 3, network.scale, width, n_blocks, growth)
        return full
    raise WeightsError(
        "enhancer.engine=official builds Real-ESRGAN's own networks only.",
        expected="SRVGGNetCompact or RRDBNet with the names of basicsr",
        found=network.architecture,
        fix="enhancer.engine=batched",
    )
