"""High-resolution photos as Lightning takes them: training patches, and held-out photos to score.

    photo -> square of patch * scale pixels -> turned, mirrored -> `high`
                                            -> made smaller -> sometimes the degradation level -> `low`

Each patch is drawn from (seed, "esrgan", epoch, index), its degradation from the level's own draws, so a run is the
same whatever the number of workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from jewelenh.config import PatchData
from jewelenh.degradation.draws import apply, sample
from jewelenh.degradation.levels import Degradation
from jewelenh.degradation.transforms import Step, steps_of
from jewelenh.errors import ConfigError, SourceError
from jewelenh.images import Pixels, read_photo, resize
from jewelenh.pairs.datamodule import ResumableDataModule
from jewelenh.seeds import generator_for, seed_for
from jewelenh.stage import Selection

log = logging.getLogger(__name__)

PatchPair: TypeAlias = dict[str, Tensor]


class PatchDataModule(ResumableDataModule):
    """Serves patches of the photos that `photos` returns, and keeps a seeded share of them for validation."""

    val: HeldOutPhotos
    """There once `setup` has run."""

    def __init__(
        self,
        photos: Callable[[], Selection],
        level: Degradation,
        settings: PatchData,
        scale: int,
        seed: int,
        workers: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(seed, workers)
        self._photos, self.level, self.settings, self.scale = photos, level, settings, scale
        self._train: Patches | None = None

    def setup(self, stage: str | None = None) -> None:
        """Index and divide the photos, and check their sizes.

        Raises:
            SourceError: too few photos to hold one out. ConfigError: photos smaller than a patch.
        """
        if self._train is not None:
            return
        selection = self._photos()
        train, val = hold_out([item.stem for item in selection.items], self.settings.val_share, self.seed)
        files = {item.stem: selection.file(item) for item in selection.items}
        photos = PhotoCache([files[stem] for stem in train], self.settings.cache_mib * 2**20)
        require_sides(photos, self.settings.patch * self.scale, "model.data.patch")
        self._train = Patches(photos, self.level, self.settings, self.scale, self.seed)
        self.val = self.held_out([files[stem] for stem in val])
        log.info("high-resolution photos: %d to train on, %d to validate", len(train), len(val))

    def held_out(self, files: Sequence[Path]) -> HeldOutPhotos:
        """Return photos as they are scored."""
        photos = PhotoCache(files, 2**28)
        require_sides(photos, 16 * self.scale, "scoring")
        return HeldOutPhotos(photos, self.level, self.settings.eval_side, self.scale, self.seed)

    def train_dataloader(self) -> DataLoader[Any]:
        """Draw patches by (seed, epoch, index), the same after a resume."""
        assert self._train is not None
        options = self.loader_options(self.settings.steps_per_epoch, "none")
        return self.train_loader(self._train, self.settings.batch_size, shuffle=False, drop_last=True, **options)

    def val_dataloader(self) -> DataLoader[PatchPair]:
        """Serve held-out photos one by one: they may differ in size."""
        return DataLoader(self.val, batch_size=1)


def hold_out(stems: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Divide stems into those to train on and at least one to validate; each photo's rank is its own hash."""
    n_val = max(1, round(share * len(stems)))
    if n_val >= len(stems):
        raise SourceError(
            "There are too few photos to train on some and validate on others.",
            where="model.data.val_share",
            expected="at least one photo on each side",
            found=f"{len(stems)} photos, {n_val} of them for validation",
            fix="more photos, or a smaller model.data.val_share",
        )
    ranked = sorted(stems, key=lambda stem: (seed_for(seed, "esrgan-val", stem), stem))
    return sorted(ranked[n_val:]), sorted(ranked[:n_val])


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

    def __getitem__(self, key: tuple[int, int]) -> PatchPair:
        """Cut, turn, and make small."""
        epoch, item = key
        generator = generator_for(self.seed, "esrgan", epoch, item)
        index = int(generator.integers(len(self.photos)))
        high = self._cut(self.photos[index], generator)
        method = self.data.downscales[int(generator.integers(len(self.data.downscales)))]
        low = smaller(high, self.scale, method)
        if generator.random() >= self.data.clean:
            name = f"esrgan-{self.level.name}-{epoch}"
            low = apply(sample(self._steps, self.seed, name, item, self.photos.files[index].name), low)
        return {"low": planes(low), "high": planes(high)}

    def _cut(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        """Return a square from anywhere, turned by quarters and mirrored."""
        side = self.data.patch * self.scale
        height, width = pixels.shape[:2]
        top, left = int(generator.integers(height - side + 1)), int(generator.integers(width - side + 1))
        turned = np.rot90(pixels[top : top + side, left : left + side], int(generator.integers(4)))
        return np.ascontiguousarray(turned[:, ::-1] if generator.integers(2) else turned)


class HeldOutPhotos(Dataset[PatchPair]):
    """Photos as they are scored: `high`, `low` made smaller by area, and `degraded`, which is `low` through the level.

    `low` and `degraded` are (3, h, w), `high` is (3, h * scale, w * scale), all uint8.
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
        name = f"esrgan-{self.level.name}-examination"  # another name would draw other distortions than earlier scores
        draw = sample(self._steps, self.seed, name, 0, self.photos.files[index].name)
        return high, low, apply(draw, low)


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


def planes(pixels: Pixels) -> Tensor:
    """Return (H, W, 3) pixels as a tensor (3, H, W)."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)  # decoded photos are read-only


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
        raise ConfigError(
            f"{len(small)} of {len(photos)} high-resolution photos are smaller than what {key} needs.",
            where=photos.files[0].parent,
            expected=f"at least {least_px} pixels on both sides",
            found=", ".join(small[:3]) + (f" and {len(small) - 3} more" if len(small) > 3 else ""),
            fix=f"larger photos, or a smaller {key}",
        )
