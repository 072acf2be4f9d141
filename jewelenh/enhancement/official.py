"""The reference implementation: `realesrgan.RealESRGANer` with `basicsr` networks, one photo at a time.

It is run as it is, and watched: it prints and swallows errors of a tile and goes on with the pixels of the tile before,
and it takes a 16-bit photo for an 8-bit one when it is dark. Here both end as an error of that photo.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from jewelenh.config import Enhancer, Hardware
from jewelenh.enhancement.network import Network
from jewelenh.enhancement.upscaler import Upscaler
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

K = TypeVar("K")


class OfficialUpscaler(Upscaler):
    """The same interface, the official engine."""

    def __init__(self, network: Network, enhancer: Enhancer, hardware: Hardware = Hardware()) -> None:
        super().__init__(network, enhancer, hardware)
        if hardware.compile:
            raise ConfigError(
                "hardware.compile=true is not for enhancer.engine=official.", fix="hardware.compile=false"
            )
        self._watched = _Watched(_build(network))
        with tempfile.TemporaryDirectory() as folder:  # RealESRGANer takes weights from a file only
            file = Path(folder) / "weights.pth"
            torch.save({"params": dict(network.state)}, file)
            self.engine = RealESRGANer(
                scale=network.scale,
                model_path=str(file),
                model=self._watched,
                tile=hardware.tile if isinstance(hardware.tile, int) else 0,
                tile_pad=TILE_PAD_PX,
                pre_pad=0,
                half=self.precision == "fp16",
                device=self.device,
            )

    def upscale(self, photo: Photo) -> Photo:
        """Enlarge one photo.

        Raises:
            ImageError: anything that the engine would have passed over.
        """
        if photo.pixels.dtype == np.uint16 and photo.pixels.max() <= 256:
            raise ImageError(
                "The official engine takes this dark 16-bit photo for 8 bits.", fix="enhancer.engine=batched"
            )
        before = _as_opencv_reads(photo)
        large = self._run(before)
        if self.enhancer.strength < 1:
            large = self._blended(before, large)
        if large.ndim == 2:
            return photo.with_pixels(np.repeat(large[..., None], 3, axis=2))
        alpha = np.ascontiguousarray(large[..., 3]) if large.shape[2] == 4 else None
        return photo.with_pixels(np.ascontiguousarray(large[..., 2::-1]), alpha)

    def upscale_many(self, photos: Iterable[tuple[K, Photo]]) -> Iterator[tuple[K, Photo | ImageError]]:
        """Enlarge photos one after the other."""
        for key, photo in photos:
            try:
                result: Photo | ImageError = self.upscale(photo)
            except ImageError as error:
                result = error
            yield key, result

    def _run(self, pixels: Pixels) -> Pixels:
        self._watched.error = None
        large, _ = self.engine.enhance(pixels)
        if self._watched.error is not None:
            raise ImageError(
                f"The official engine passed over an error: {self._watched.error}", fix="a smaller hardware.tile"
            ) from self._watched.error
        return np.asarray(large)

    def _blended(self, pixels: Pixels, large: Pixels) -> Pixels:
        bicubic = resize(pixels, large.shape[0], large.shape[1], "bicubic").astype(np.float32)
        mixed = bicubic + (large.astype(np.float32) - bicubic) * self.enhancer.strength
        return np.asarray(np.rint(mixed).clip(0, np.iinfo(large.dtype).max).astype(large.dtype))

    def _supported_precision(self) -> Precision:
        """RealESRGANer knows fp32 and half; like its own script, `auto` is half on CUDA."""
        wanted = self.hardware.precision
        if wanted == "bf16":
            raise ConfigError("enhancer.engine=official knows no bf16.", fix="hardware.precision=fp32 or fp16")
        is_half = wanted == "fp16" or (wanted == "auto" and self.device.type == "cuda")
        return "fp16" if is_half else "fp32"


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
