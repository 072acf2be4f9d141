"""Training patches: a square of a high-resolution photo, and the small, sometimes degraded version made from it.

    photo -> square of patch * scale pixels -> turned, mirrored -> `high`
                                            -> made smaller -> sometimes the degradation level -> `low`

Each patch is drawn from (seed, "esrgan", epoch, index), its degradation from the level's own draws, so a run is the
same whatever the number of workers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from jewelenh.config import Degradation
from jewelenh.degradation.draws import apply, sample
from jewelenh.degradation.transforms import Step, steps_of
from jewelenh.enhancer_training.settings import PatchData
from jewelenh.errors import ConfigError
from jewelenh.images import Pixels, read_photo, resize
from jewelenh.seeds import generator_for

PatchPair: TypeAlias = dict[str, Tensor]
Key: TypeAlias = tuple[int, int]
"""(epoch, index in the epoch)."""


def visible_steps(level: Degradation) -> list[Step]:
    """Return the level's steps without the colour cast: no network can know which colours the photo had."""
    return [step for step in steps_of(level) if step.name != "colour"]


def smaller(pixels: Pixels, scale: int, method: str) -> Pixels:
    """Make (H, W, 3) uint8 `scale` times smaller; sides are multiples of it.

    `bicubic` is Pillow's, which averages over all pixels as MATLAB's does; OpenCV's would skip most of them.
    """
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    if method == "area":
        return resize(pixels, height, width, "area")
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


class PhotoCache:
    """Decoded 8-bit photos, kept in memory up to a budget."""

    def __init__(self, files: Sequence[Path], budget_bytes: int) -> None:
        self.files, self._left = list(files), budget_bytes
        self._kept: dict[int, Pixels] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Pixels:
        """Return (H, W, 3) uint8."""
        if index in self._kept:
            return self._kept[index]
        pixels = read_photo(self.files[index]).as_uint8().pixels
        if pixels.nbytes <= self._left:
            self._left -= pixels.nbytes
            self._kept[index] = pixels
        return pixels


class Patches(Dataset[PatchPair]):
    """An endless supply: item (epoch, index) is `low` (3, h, w) and `high` (3, h * scale, w * scale), uint8."""

    def __init__(self, photos: PhotoCache, level: Degradation, data: PatchData, scale: int, seed: int) -> None:
        self.photos, self.level, self.data, self.scale, self.seed = photos, level, data, scale, seed
        self._steps = visible_steps(level)

    def __len__(self) -> int:
        return self.data.steps_per_epoch * self.data.batch_size

    def __getitem__(self, key: Key) -> PatchPair:
        """Cut, turn, and make small."""
        generator = generator_for(self.seed, "esrgan", *key)
        index = int(generator.integers(len(self.photos)))
        high = _turned(self._cut(self.photos[index], generator), generator)
        method = self.data.downscales[int(generator.integers(len(self.data.downscales)))]
        low = smaller(high, self.scale, method)
        if generator.random() >= self.data.clean:
            epoch, item = key
            name = f"esrgan-{self.level.name}-{epoch}"
            low = apply(sample(self._steps, self.seed, name, item, self.photos.files[index].name), low)
        return {"low": planes(low), "high": planes(high)}

    def _cut(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        side = self.data.patch * self.scale
        height, width = pixels.shape[:2]
        top, left = int(generator.integers(height - side + 1)), int(generator.integers(width - side + 1))
        return pixels[top : top + side, left : left + side]


def _turned(cut: Pixels, generator: np.random.Generator) -> Pixels:
    turned = np.rot90(cut, int(generator.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if generator.integers(2) else turned)


def planes(pixels: Pixels) -> Tensor:
    """Return (H, W, 3) pixels as a tensor (3, H, W)."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)  # decoded photos are read-only


class PatchSampler(DistributedSampler[PatchPair]):
    """Yields (epoch, index), so that workers need not be told the epoch; ranks take turns.

    `start` skips keys of the next pass: what a resumed epoch has seen already.
    """

    start = 0

    def __iter__(self) -> Iterator[Any]:
        """Yield this rank's keys of the epoch that `set_epoch` named."""
        start, self.start = self.start, 0
        return ((self.epoch, index) for index in itertools.islice(super().__iter__(), start, None))


class Examinations(Dataset[PatchPair]):
    """Held-out photos as they are scored: `high`, and `low` made smaller by area, clean and through the level.

    `degraded` is `low` through the level; both (3, h, w), `high` (3, h * scale, w * scale), all uint8.
    """

    def __init__(self, photos: PhotoCache, level: Degradation, side: int | None, scale: int, seed: int) -> None:
        self.photos, self.level, self.side, self.scale, self.seed = photos, level, side, scale, seed
        self._steps = visible_steps(level)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> PatchPair:
        """Return one photo."""
        high, low, degraded = self.pixels(index)
        return {"low": planes(low), "degraded": planes(degraded), "high": planes(high)}

    def pixels(self, index: int) -> tuple[Pixels, Pixels, Pixels]:
        """Return high, low and degraded as (H, W, 3) uint8."""
        high = centre(self.photos[index], self.side, self.scale)
        low = smaller(high, self.scale, "area")
        draw = sample(self._steps, self.seed, f"esrgan-{self.level.name}-examination", 0, self.photos.files[index].name)
        return high, low, apply(draw, low)


def centre(pixels: Pixels, side: int | None, multiple: int) -> Pixels:
    """Return the central part, at most `side` pixels wide and high, in multiples of `multiple`."""
    height, width = (min(length, side or length) // multiple * multiple for length in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def require_sides(photos: PhotoCache, least_px: int, key: str) -> None:
    """Raise ConfigError when a photo is smaller than the square that is cut from it; only headers are read."""
    small = []
    for file in photos.files:
        with Image.open(file) as image:
            if min(image.size) < least_px:
                small.append(f"{file.name} {image.width}x{image.height}")
    if small:
        more = f" and {len(small) - 3} more" if len(small) > 3 else ""
        raise ConfigError(
            f"{len(small)} of {len(photos)} high-resolution photos are smaller than what {key} needs.",
            where=photos.files[0].parent,
            expected=f"at least {least_px} pixels on both sides",
            found=", ".join(small[:3]) + more,
            fix=f"larger photos, or a smaller {key}",
        )
