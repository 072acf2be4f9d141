"""One enhanced image on its way into a `.npy` file: size, dtype, bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jewelenh.config import Pairs
from jewelenh.errors import PairsError
from jewelenh.files import write_atomically
from jewelenh.images import Pixels, read_photo, resize, signed_array, to_uint8
from jewelenh.manifest import StoredFile, sha256_of
from jewelenh.pairs.links import Links
from jewelenh.pairs.npy import npy_bytes


def fit(pixels: Pixels, pairs: Pairs) -> Pixels:
    """Bring (H, W, 3) pixels to (size, size, 3) by the contract's geometry: short side to size, then centre crop.

    Raises:
        PairsError: the photo is smaller than that; enlarging it would teach the network what no enhancer made.
    """
    if pairs.size is None:
        return pixels
    height, width = pixels.shape[:2]
    if min(height, width) < pairs.size:
        raise PairsError(
            "The enhanced photo is smaller than the pairs.",
            expected=f"at least {pairs.size} pixels a side",
            found=f"{width}x{height}",
            fix=f"pairs.size={min(height, width)}, larger photos, or an enhancer of a larger scale",
        )
    scale = pairs.size / min(height, width)
    tall, wide = max(pairs.size, round(height * scale)), max(pairs.size, round(width * scale))
    resized = resize(pixels, tall, wide, pairs.resample)
    top, left = (tall - pairs.size) // 2, (wide - pairs.size) // 2
    return resized[top : top + pairs.size, left : left + pairs.size]


def tensor_of(pixels: Pixels, pairs: Pairs) -> Pixels:
    """Return (H, W, 3) RGB pixels as the C-contiguous (3, size, size) array that the contract stores.

    Resizing happens in the photo's own integers, so the three dtypes hold the same grey levels; 16-bit photos keep
    their depth in the float dtypes.
    """
    planes = np.ascontiguousarray(fit(pixels, pairs).transpose(2, 0, 1))
    return to_uint8(planes) if pairs.dtype == "uint8" else signed_array(planes, pairs.dtype)


@dataclass
class Tensor:
    """One image on its way into a `.npy` file."""

    source: Path
    sha256: str
    path: str
    shape: tuple[int, ...] = ()
    native_size: tuple[int, int] = (0, 0)
    bits: int = 8
    was_linked: bool = False

    def store(self, directory: Path, pairs: Pairs, links: Links) -> StoredFile:
        """Link the file from another directory that holds this content, or make it."""
        known = links.take(self.sha256, directory / self.path)
        if known is not None:
            self.shape, self.native_size, self.bits = known.shape, known.native_size, known.bits
            self.was_linked = True
            return StoredFile(self.path, known.file.sha256, known.file.bytes)
        pixels = read_photo(self.source).pixels
        self.native_size, self.bits = (pixels.shape[0], pixels.shape[1]), pixels.dtype.itemsize * 8
        array = tensor_of(pixels, pairs)
        self.shape = array.shape
        data = npy_bytes(array)
        write_atomically(directory / self.path, data)
        return StoredFile(self.path, sha256_of(data), len(data))
