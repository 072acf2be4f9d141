"""Batches of pairs in their storage dtype, cut and gathered straight into one array; floats come later."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from jewelenh.errors import PairsError
from jewelenh.images import grey_levels, signed_array, to_signed
from jewelenh.manifest import StoredFile
from jewelenh.pairs.contract import Pair, PairsManifest
from jewelenh.pairs.npy import Array, Header, view
from jewelenh.seeds import generator_for, seed_for

Batch: TypeAlias = dict[str, Any]
Key: TypeAlias = "tuple[int, int] | int"
"""(epoch, index): the epoch travels with the index, so workers that live on for many epochs need not be told."""
Cache: TypeAlias = Mapping[str, Array]
"""Whole images, (3, H, W), by relative path."""
_TURNED_BY_OPENCV = (np.dtype(np.uint8), np.dtype(np.float32))
_TURN: dict[int, Callable[[Array, Array], object]] = {
    1: lambda plane, out: cv2.rotate(plane, cv2.ROTATE_90_COUNTERCLOCKWISE, dst=out),
    2: lambda plane, out: cv2.flip(plane, -1, dst=out),
    3: lambda plane, out: cv2.rotate(plane, cv2.ROTATE_90_CLOCKWISE, dst=out),
    4: lambda plane, out: cv2.flip(plane, 1, dst=out),
    5: lambda plane, out: cv2.transpose(plane, dst=out),
    6: lambda plane, out: cv2.flip(plane, 0, dst=out),
    7: lambda plane, out: cv2.transpose(cv2.flip(plane, -1), dst=out),
}
"""What `turned` does to one plane, for each of its turns but the first."""


@dataclass(frozen=True)
class Cut:
    """A crop and what is done to it, the same for `input` and `target`."""

    top: int
    left: int
    height: int
    width: int
    dihedral: int = 0
    """0 to 7: counter-clockwise quarter turns, after mirroring where it is 4 or more."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width) of what comes out."""
        return (self.height, self.width) if self.dihedral % 2 == 0 else (self.width, self.height)

    def of(self, image: Array) -> Array:
        """Return the cut of (..., H, W) as a view."""
        return turned(self._part(image), self.dihedral)

    def copy(self, image: Array, into: Array) -> None:
        """Copy the cut of (3, H, W) into (3, h, w); turns by OpenCV, up to ten times as fast as strided copies."""
        if self.dihedral == 0 or image.dtype not in _TURNED_BY_OPENCV:
            into[...] = self.of(image)
            return
        for plane, out in zip(self._part(image), into, strict=True):
            _TURN[self.dihedral](plane, out)

    def _part(self, image: Array) -> Array:
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


def turned(image: Array, dihedral: int) -> Array:
    """Mirror and turn the last two axes, as a view."""
    if dihedral >= 4:
        image = image[..., ::-1]
    return np.rot90(image, dihedral % 4, axes=(-2, -1))


def draw(side: tuple[int, int], crop: int | None, augment: bool, names: tuple[int, int, str]) -> Cut:
    """Draw a cut of an image of (height, width) for (seed, epoch, stem), and from these alone.

    A quarter turn needs a square, so a whole image that is none is only mirrored and turned upside down. SHA-256 gives
    the bits directly: a generator per image and epoch would take ten times as long.
    """
    height, width = (crop, crop) if crop is not None else side
    bits = seed_for(names[0], "cut", names[1], names[2])
    top = (bits & 0xFFFFFFFFFFFF) % (side[0] - height + 1)
    left = (bits >> 48 & 0xFFFFFFFFFFFF) % (side[1] - width + 1)
    turns = (bits >> 96 & 3) & (3 if height == width else 2)
    return Cut(top, left, height, width, turns + 4 * (bits >> 98 & 1) if augment else 0)


def centre(side: tuple[int, int], crop: int | None) -> Cut:
    """Return the middle of an image, or all of it."""
    height, width = (min(crop, side[0]), min(crop, side[1])) if crop is not None else side
    return Cut((side[0] - height) // 2, (side[1] - width) // 2, height, width)


def load(manifest: PairsManifest, pairs: Sequence[Pair], headers: Mapping[str, Header]) -> Cache:
    """Read every file of `pairs` once and verify its sha256, into memory that worker processes inherit and never copy.

    float32 in [-1, 1] that came from 8-bit images is kept as uint8: the same values in a quarter of the memory.

    Raises:
        PairsError: the memory is not there, or a file is not the one in the manifest.
    """
    exact = manifest.format.dtype == "float32" and all(pair.record.get("bits") == 8 for pair in pairs)
    dtype = np.dtype("uint8" if exact else manifest.format.dtype)
    files = {file.path: (file, pair.shape) for pair in pairs for file in pair.files}
    n_bytes = sum(int(np.prod(shape)) for _, shape in files.values()) * dtype.itemsize
    _check_memory(n_bytes, manifest.directory)
    memory, cache, offset = mmap.mmap(-1, max(n_bytes, 1)), {}, 0
    for path, (_, shape) in files.items():
        cache[path] = np.ndarray(shape, dtype, memory, offset)
        offset += cache[path].nbytes
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: _fill(cache[path], manifest, files[path][0], headers[path]), files))
    return cache


def _fill(into: Array, manifest: PairsManifest, file: StoredFile, header: Header) -> None:
    path = manifest.verified(file)
    values = view(path, header)
    into[...] = values if into.dtype == values.dtype else grey_levels(values)
    if into.dtype != values.dtype and not np.array_equal(signed_array(into, "float32"), values):
        raise PairsError("The manifest says 8-bit values, the file holds others.", where=path)


def _check_memory(n_bytes: int, where: Path) -> None:
    free = free_memory()
    if free is not None and n_bytes > 0.8 * free:
        raise PairsError(
            "These pairs do not fit into memory.",
            where=where,
            expected=f"{n_bytes / 2**30:.1f} GiB",
            found=f"{free / 2**30:.1f} GiB available",
            fix="data.cache=none reads only what a crop needs, pairs.dtype=uint8 needs a quarter of float32",
        )


def free_memory() -> int | None:
    """Return the bytes that this machine can still give, None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


@dataclass(frozen=True)
class Cutting:
    """How the images of a split are cut."""

    crop: int | None = None
    """Side in pixels; None shows the whole image."""
    is_random: bool = False
    """Drawn per (seed, epoch, stem); otherwise the centre."""
    augment: bool = False
    """Mirror and quarter turns, only where random."""
    seed: int = 42
    per_photo: int = 1
    """Cuts of each pair in one epoch, each a draw of its own."""


class PairsDataset(Dataset[Batch]):
    """One split of a pairs directory; takes a whole batch of keys at once and returns it collated.

    `input`, `target`: (B, 3, h, w) in the storage dtype; `stem`: list of str.
    """

    def __init__(
        self,
        manifest: PairsManifest,
        pairs: Sequence[Pair],
        headers: Mapping[str, Header],
        cutting: Cutting | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.manifest, self.pairs, self.headers, self.cache = manifest, tuple(pairs), headers, cache
        self.cutting = cutting or Cutting()
        self._unread = {file.path: file for pair in self.pairs for file in pair.files}
        """Files that are still to be held against their hashes, which is done when they are first read."""
        self._check_sides()

    def __len__(self) -> int:
        return len(self.pairs) * self.cutting.per_photo

    def __getitem__(self, key: Key) -> Batch:
        """Return one pair, without the batch dimension."""
        batch = self.__getitems__([key])
        return {name: value[0] for name, value in batch.items()}

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """Return the batch of `keys`."""
        chosen = [key if isinstance(key, tuple) else (0, key) for key in keys]
        pairs = [self.pairs[index % len(self.pairs)] for _, index in chosen]
        draws = [epoch * self.cutting.per_photo + index // len(self.pairs) for epoch, index in chosen]
        cuts = [self.cut(pair, number) for pair, number in zip(pairs, draws, strict=True)]
        self._check_one_size(cuts)
        inputs = self._gather([pair.input.path for pair in pairs], cuts)
        targets = self._gather([pair.target.path for pair in pairs], cuts)
        return {"input": inputs, "target": targets, "stem": [pair.stem for pair in pairs]}

    def cut(self, pair: Pair, number: int) -> Cut:
        """Return what the draw of this number shows of a pair: there are `per_photo` in an epoch."""
        how = self.cutting
        if how.is_random:
            return draw(pair.side, how.crop, how.augment, (how.seed, number, pair.stem))
        return centre(pair.side, how.crop)

    def _gather(self, paths: list[str], cuts: list[Cut]) -> torch.Tensor:
        batch = np.empty((len(paths), 3, *cuts[0].shape), self._image(paths[0]).dtype)
        for position, (path, cut) in enumerate(zip(paths, cuts, strict=True)):
            cut.copy(self._image(path), batch[position])
        return torch.from_numpy(batch)

    def _image(self, path: str) -> Array:
        if self.cache is not None:
            return self.cache[path]
        if file := self._unread.pop(path, None):
            self.manifest.verified(file)
        return view(self.manifest.directory / path, self.headers[path])

    def _check_one_size(self, cuts: list[Cut]) -> None:
        shapes = sorted({cut.shape for cut in cuts})
        if len(shapes) > 1:
            raise PairsError(
                "Images of different sizes do not make a batch.",
                where=self.manifest.directory,
                found=shapes,
                fix="data.crop=<pixels> for training, data.eval_batch_size=1 for evaluation",
            )

    def _check_sides(self) -> None:
        crop = self.cutting.crop
        small = [pair for pair in self.pairs if crop is not None and min(pair.side) < crop]
        if small and self.cutting.is_random:
            raise PairsError(
                f"{len(small)} images are smaller than the crop.",
                where=self.manifest.directory,
                expected=f"at least {crop} pixels a side",
                found=f"{small[0].stem}: {small[0].side}",
                fix=f"data.crop={min(min(pair.side) for pair in small)}",
            )


def to_network(batch: Batch) -> Batch:
    """Return a batch as the network takes it: images float32 (B, 3, h, w) in [-1, 1], `stem`."""
    return {name: _signed(value) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def _signed(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.is_floating_point() else to_signed(values)


class EpochSampler(DistributedSampler[Any]):
    """Keys (epoch, index) in an order drawn from (seed, epoch): the same after a resume, whatever the workers.

    Ranks take every n-th key, padded to equal lengths as torch does. Being a `DistributedSampler`, it stays in place
    when Lightning runs on several devices. `start` skips keys of the next pass: what a resumed epoch has seen already.
    """

    start = 0

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)  # type: ignore[arg-type]
        order = list(range(n))
        if self.shuffle:
            order = generator_for(self.seed, "order", self.epoch).permutation(n).tolist()
        padded = (order * (self.total_size // max(n, 1) + 1))[: self.total_size]
        start, self.start = self.start, 0
        return iter([(self.epoch, index) for index in padded[self.rank :: self.num_replicas][start:]])
