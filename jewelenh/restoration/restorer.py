"""Photo in, photo out: the one inference path. Evaluation scores it, predict and the demo run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from jewelenh.config import Enhancer, Hardware, parse
from jewelenh.errors import ImageError
from jewelenh.hardware import DTYPES, choose_precision, find_device
from jewelenh.images import Photo, Pixels, from_signed, resize, to_signed
from jewelenh.refinement.checkpoint import AFTER, Checkpoint, Geometry, read_checkpoint
from jewelenh.refinement.weights import find_checkpoint
from jewelenh.runs import READY

if TYPE_CHECKING:
    from jewelenh.enhancement.upscaler import Upscaler

_DTYPES = {np.dtype("uint8"): torch.uint8, np.dtype("uint16"): torch.uint16}
Window: TypeAlias = "tuple[slice, slice]"
TILE = 2048
"""Side of a tile in pixels, a multiple of every stride; larger photos are refined in tiles, so memory stays flat."""
BAND = 1024
"""Rows that are enlarged at once."""
OVERLAP = 256
"""For a network that does not say how far it looks (`radius_px`, `stride`)."""


class Restorer:
    """Real-ESRGAN and a trained refinement network, as they were put together in training.

    from jewelenh import Restorer
    restored = Restorer.from_checkpoint("outputs/.../best.ckpt").restore(image)   # (H, W, 3) uint8 RGB, or a Photo

    Before the enhancer, the network runs on the photo's own grid: `prepare`, then the enhancer. After it, the network
    runs on the enhanced picture made `work_scale` times as large, and what it changes is enlarged and added: `finish`.
    """

    def __init__(
        self,
        network: nn.Module,
        enhancer: Enhancer,
        geometry: Geometry = AFTER,
        *,
        hardware: Hardware = Hardware(),
        cache_dir: Path | None = None,
    ) -> None:
        self.hardware, self.device = hardware, find_device(hardware.device)
        self.dtype = DTYPES[choose_precision(hardware.precision, self.device)]
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
        self.enhancer, self.geometry, self.cache_dir = enhancer, geometry, cache_dir
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
        enhancer = enhancer or checkpoint.enhancer
        return cls(checkpoint.network(), enhancer, checkpoint.geometry, hardware=hardware, cache_dir=cache_dir)

    @classmethod
    def ready(cls, **options: Any) -> Restorer:
        """Load the weights inside the package, for photos of which nobody knows how bad they are."""
        return cls.from_checkpoint(READY, **options)

    @classmethod
    def from_pretrained(cls, place: str | Path, **options: Any) -> Restorer:
        """Load an exported file, or a folder in the layout of the Hugging Face Hub; options as in `from_checkpoint`.

        Raises:
            CheckpointError: there are no weights (model.safetensors), or this version cannot rebuild the network.
        """
        return cls.from_checkpoint(find_checkpoint(place, Path()), **options)

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
        return self.finish(photo, self.upscaler.upscale(self.prepare(photo, strength)), strength, scale)

    def restore_from(self, photo: Photo, enhanced: Photo, strength: float = 1.0, scale: float | None = None) -> Photo:
        """Restore a photo whose enhanced picture is at hand; a network before the enhancer has no use for it."""
        if self.geometry.placement == "before" and strength > 0:
            return self.restore(photo, strength, scale)
        return self.finish(photo, enhanced, strength, scale)

    def prepare(self, photo: Photo, strength: float = 1.0) -> Photo:
        """Return what is to be enhanced: the photo refined by a network that stands before the enhancer, or as it is.

        Raises:
            ImageError: the network gave NaN or infinity.
        """
        if self.geometry.placement == "after":
            return photo
        return photo.with_pixels(self.refine(photo.pixels, strength), photo.alpha)

    def finish(self, photo: Photo, enhanced: Photo, strength: float = 1.0, scale: float | None = None) -> Photo:
        """Refine the enhancer's picture of `photo`, if the network stands after it, and bring it to `scale`."""
        if self.geometry.placement == "after":
            enhanced = enhanced.with_pixels(self._refine_at_work_scale(enhanced.pixels, strength), enhanced.alpha)
        return enhanced if scale is None else rescale(enhanced, photo, scale)

    @torch.inference_mode()
    def refine(self, pixels: Pixels, strength: float = 1.0) -> Pixels:
        """Run the network alone: (H, W, 3) uint8 or uint16 to the same size and type.

        Raises:
            ImageError: the network gave NaN or infinity.
        """
        if strength == 0:
            return pixels
        refined = np.empty_like(pixels)
        for into, tile, inner in self._tiles(pixels.shape[:2]):
            signed = self._signed(pixels[tile])
            blended = signed + strength * self._residual(signed)
            refined[into] = _pixels(from_signed(blended, _DTYPES[pixels.dtype]))[inner]
        return refined

    def _refine_at_work_scale(self, pixels: Pixels, strength: float) -> Pixels:
        """Run the network at its own scale, and add what it changed, enlarged: the picture keeps its sharpness."""
        height, width = pixels.shape[:2]
        scale = self.geometry.work_scale
        size = max(1, round(height * scale)), max(1, round(width * scale))
        if strength == 0 or size == (height, width):
            return self.refine(pixels, strength)
        small = resize(pixels, *size, "area")
        residual = np.empty(small.shape, np.float32)
        with torch.inference_mode():
            for into, tile, inner in self._tiles(size):
                residual[into] = _pixels(self._residual(self._signed(small[tile])))[inner]
        unit = strength * (np.iinfo(pixels.dtype).max / 2)
        refined = np.empty_like(pixels)
        for rows in _bands(height):
            change = unit * _enlarged(residual, rows, (height, width))
            refined[rows] = np.clip(np.rint(pixels[rows] + change), 0, np.iinfo(pixels.dtype).max)
        return refined

    def _signed(self, pixels: Pixels) -> Tensor:
        planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self.device)
        return to_signed(planes).contiguous(memory_format=torch.channels_last)

    def _residual(self, signed: Tensor) -> Tensor:
        """Return what the network changes, (1, 3, H, W) float32; raise ImageError for NaN or infinity."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            refined: Tensor = self.network(signed)
        if not torch.isfinite(refined).all():
            raise ImageError(
                f"The refinement network gave NaN or infinity in {str(self.dtype).removeprefix('torch.')}.",
                fix="hardware.precision=fp32; if the weights give the same there, they are broken",
            )
        return refined.float() - signed

    def _tiles(self, size: tuple[int, int]) -> Iterator[tuple[Window, Window, Window]]:
        """Yield where a tile's result belongs, what the network must see for it, and the result's place in that."""
        height, width = size
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                bottom, right = min(top + TILE, height), min(left + TILE, width)
                rows, columns = self._around(top, height), self._around(left, width)
                inner = slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start)
                yield (slice(top, bottom), slice(left, right)), (rows, columns), inner

    def _around(self, start: int, length: int) -> slice:
        """Return the tile that begins at `start` with its overlap, inside the photo."""
        return slice(max(0, start - self.overlap), min(length, start + TILE + self.overlap))


def _pixels(images: Tensor) -> Pixels:
    pixels: Pixels = images[0].permute(1, 2, 0).cpu().numpy()
    return pixels


def _bands(height: int) -> Iterator[slice]:
    return (slice(top, min(top + BAND, height)) for top in range(0, height, BAND))


def _enlarged(residual: Pixels, rows: slice, size: tuple[int, int]) -> Pixels:
    """Return some rows of a float32 (h, w, 3) residual enlarged to `size` by bicubic interpolation."""
    down, across = residual.shape[0] / size[0], residual.shape[1] / size[1]
    top = max(0, int(rows.start * down) - 4)
    source = residual[top : int(rows.stop * down) + 5]
    first_row = (rows.start + 0.5) * down - 0.5 - top  # in the source, of the first row's centre
    matrix = np.array([[across, 0, 0.5 * across - 0.5], [0, down, first_row]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        source, matrix, (size[1], rows.stop - rows.start), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def rescale(photo: Photo, original: Photo, scale: float) -> Photo:
    """Bring a photo to `scale` times the size of `original`, averaging when it shrinks."""
    height, width = (max(1, round(side * scale)) for side in original.size)
    alpha = None if photo.alpha is None else resize(photo.alpha, height, width, "area")
    return photo.with_pixels(resize(photo.pixels, height, width, "area"), alpha)
