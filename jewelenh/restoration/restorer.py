"""Photo in, photo out: the one inference path. Evaluation scores it, predict and the demo run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from torch import Tensor, nn

from jewelenh.config import Enhancer, Hardware, parse
from jewelenh.errors import ImageError
from jewelenh.hardware import DTYPES, choose_precision, find_device
from jewelenh.images import Photo, Pixels, from_signed, resize, to_signed
from jewelenh.refinement.checkpoint import Checkpoint, read_checkpoint

if TYPE_CHECKING:
    from jewelenh.enhancement.upscaler import Upscaler

TILE = 2048
"""Side of a tile in pixels, a multiple of every stride; larger photos are refined in tiles, so memory stays flat."""
OVERLAP = 256
"""For a network that does not say how far it looks (`radius_px`, `stride`)."""


class Restorer:
    """Real-ESRGAN and a trained refinement network, as they were put together in training.

    from jewelenh import Restorer
    restored = Restorer.from_checkpoint("outputs/.../best.ckpt").restore(image)   # (H, W, 3) uint8 RGB, or a Photo
    """

    def __init__(
        self,
        network: nn.Module,
        enhancer: Enhancer,
        *,
        hardware: Hardware = Hardware(),
        cache_dir: Path | None = None,
    ) -> None:
        self.hardware, self.device = hardware, find_device(hardware.device)
        self.dtype = DTYPES[choose_precision(hardware.precision, self.device)]
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
        self.enhancer, self.cache_dir = enhancer, cache_dir
        stride, radius = getattr(network, "stride", 1), getattr(network, "radius_px", OVERLAP)
        self.overlap = -(-radius // stride) * stride
        """A multiple of the network's stride that is no less than its radius: tiled equals whole."""
        self._upscaler: Upscaler | None = None

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        *,
        enhancer: Enhancer | None = None,
        hardware: Hardware | None = None,
        device: str = "auto",
        cache_dir: Path | None = None,
        trust: Sequence[str] = (),
    ) -> Restorer:
        """Load a checkpoint of `jewelenh.train`; `enhancer` replaces the one it was trained with.

        Both networks run as `hardware` says; `device` is short for `Hardware(device=...)`. `trust` names packages
        beside jewelenh and torch whose networks may be imported.

        Raises:
            CheckpointError: no checkpoint, or one that this version cannot rebuild.
        """
        checkpoint: Checkpoint = read_checkpoint(Path(path), trust)
        hardware = hardware or parse(Hardware, {"device": device}, "hardware")
        return cls(checkpoint.network(), enhancer or checkpoint.enhancer, hardware=hardware, cache_dir=cache_dir)

    @property
    def upscaler(self) -> Upscaler:
        """Return the super-resolution half, loaded at first use: pairs are refined without it."""
        if self._upscaler is None:
            from jewelenh.enhancement.upscaler import Upscaler

            self._upscaler = Upscaler.load(self.enhancer, self.hardware, self.cache_dir)
        return self._upscaler

    @overload
    def restore(self, photo: Photo, strength: float = 1.0, scale: float | None = None) -> Photo: ...

    @overload
    def restore(self, photo: Pixels, strength: float = 1.0, scale: float | None = None) -> Pixels: ...

    def restore(self, photo: Photo | Pixels, strength: float = 1.0, scale: float | None = None) -> Photo | Pixels:
        """Return the restored photo at the enhancer's resolution, or at `scale` times the original's.

        `photo` is an (H, W, 3) RGB array or a Photo, whose alpha, profile and EXIF are kept; uint8 or uint16, any size.
        `strength` blends from the enhancer's picture alone (0) to the refined one (1).
        """
        if not isinstance(photo, Photo):
            return self.restore(Photo(np.ascontiguousarray(photo)), strength, scale).pixels
        enhanced = self.upscaler.upscale(photo)
        return self.finish(photo, enhanced, strength, scale)

    def finish(self, photo: Photo, enhanced: Photo, strength: float = 1.0, scale: float | None = None) -> Photo:
        """Refine an already enhanced photo and bring it to `scale` times the size of the original."""
        refined = enhanced.with_pixels(self.refine(enhanced.pixels, strength), enhanced.alpha)
        return refined if scale is None else rescale(refined, photo, scale)

    @torch.inference_mode()
    def refine(self, input: Pixels, strength: float = 1.0) -> Pixels:
        """Run the network alone: (H, W, 3) uint8 or uint16 `input` to `refined` of the same size and type.

        Raises:
            ImageError: the network gave NaN or infinity.
        """
        if strength == 0:
            return input
        height, width = input.shape[:2]
        refined = np.empty_like(input)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                rows, columns = self._around(top, height), self._around(left, width)
                tile = self._refine_tile(np.ascontiguousarray(input[rows, columns]), strength)
                bottom, right = min(top + TILE, height), min(left + TILE, width)
                refined[top:bottom, left:right] = tile[
                    top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
                ]
        return refined

    def _refine_tile(self, input: Pixels, strength: float) -> Pixels:
        pixels = torch.from_numpy(input).permute(2, 0, 1)[None].to(self.device)
        signed = to_signed(pixels).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            refined: Tensor = self.network(signed)
        if not torch.isfinite(refined).all():
            raise ImageError(
                f"The refinement network gave NaN or infinity in {str(self.dtype).removeprefix('torch.')}.",
                fix="hardware.precision=fp32; if the weights give the same there, they are broken",
            )
        blended = signed + strength * (refined.float() - signed)
        result: Pixels = from_signed(blended, pixels.dtype)[0].permute(1, 2, 0).cpu().numpy()
        return result

    def _around(self, start: int, length: int) -> slice:
        """Return the tile that begins at `start` with its overlap, inside the photo."""
        return slice(max(0, start - self.overlap), min(length, start + TILE + self.overlap))


def rescale(photo: Photo, original: Photo, scale: float) -> Photo:
    """Bring a photo to `scale` times the size of `original`, averaging when it shrinks."""
    height, width = (max(1, round(side * scale)) for side in original.size)
    alpha = None if photo.alpha is None else resize(photo.alpha, height, width, "area")
    return photo.with_pixels(resize(photo.pixels, height, width, "area"), alpha)
