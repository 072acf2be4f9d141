"""Images on their way into `.npy` files: size, dtype, bytes; or linked from where another directory holds them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jewelenh.config import Pairs
from jewelenh.errors import ImageError, JewelenhError, PairsError
from jewelenh.files import write_atomically
from jewelenh.images import Pixels, covering, decode, read_bytes, signed_array, to_uint8
from jewelenh.manifest import StoredFile, read_manifest, sha256_of
from jewelenh.pairs.contract import KIND
from jewelenh.pairs.npy import npy_bytes
from jewelenh.stage import DAMAGED

log = logging.getLogger(__name__)

Read: TypeAlias = Callable[[bytes, Path], Pixels]
"""From a file's content to (H, W, 3) RGB: uint8, uint16 or floats in [-1, 1]."""


def read_photo_pixels(data: bytes, where: Path) -> Pixels:
    """Decode a photo, without its alpha."""
    return decode(data, where).pixels


def read_verified(path: Path, sha256: str, read: Read, otherwise: str) -> Pixels:
    """Read the image that a manifest promises; `otherwise` is said where the file is another.

    Raises:
        ImageError: unreadable, or another file than the one in the manifest.
    """
    data = read_bytes(path)
    if (found := sha256_of(data)) != sha256:
        raise ImageError(otherwise, where=path, expected=f"sha256 {sha256[:12]}", found=found[:12])
    return read(data, path)


def fit(pixels: Pixels, pairs: Pairs) -> Pixels:
    """Bring (H, W, 3) pixels to (size, size, 3) by the contract's geometry: short side to size, then centre crop.

    Raises:
        PairsError: the photo is smaller than that; enlarging it would teach the network what no enhancer made.
    """
    if pairs.size is None or pairs.placement == "before":
        return pixels
    height, width = pixels.shape[:2]
    if min(height, width) < pairs.size:
        raise PairsError(
            "The enhanced photo is smaller than the pairs.",
            expected=f"at least {pairs.size} pixels a side",
            found=f"{width}x{height}",
            fix=f"pairs.size={min(height, width)}, larger photos, or an enhancer of a larger scale",
        )
    return covering(pixels, pairs.size, pairs.size, pairs.resample)


def tensor_of(pixels: Pixels, pairs: Pairs) -> Pixels:
    """Return (H, W, 3) RGB pixels as the C-contiguous (3, size, size) array that the contract stores.

    Resizing happens in the photo's own integers, so the three dtypes hold the same grey levels; 16-bit photos keep
    their depth in the float dtypes.
    """
    planes = np.ascontiguousarray(fit(pixels, pairs).transpose(2, 0, 1))
    return to_uint8(planes) if pairs.dtype == "uint8" else signed_array(planes, pairs.dtype)


@dataclass(frozen=True)
class TensorFile:
    """A `.npy` file of a pairs directory, and what its manifest says about the image it was made from."""

    directory: Path
    file: StoredFile
    shape: tuple[int, ...]
    native_size: tuple[int, ...]
    bits: int
    was_linked: bool = False


class Tensors:
    """The files of one pairs directory, made from images or taken over from the other directories beside it.

    A grown data set so costs only what is new. Linked is what was made from the same content in the same format.
    """

    def __init__(
        self, directory: Path, pairs: Pairs, layout: Mapping[str, Any], read: Read = read_photo_pixels
    ) -> None:
        self.directory, self.pairs, self.layout, self.read = directory, pairs, layout, read
        self._known = dict(self._others()) if read is read_photo_pixels else {}

    def write(self, source: Path, sha256: str, path: str) -> TensorFile:
        """Put the image in `source`, which must have this content, at `path`."""
        linked = self._link(sha256, path)
        if linked is not None:
            return linked
        pixels = read_verified(source, sha256, self.read, f"{source} {DAMAGED}")
        array = tensor_of(pixels, self.pairs)
        data = npy_bytes(array)
        write_atomically(self.directory / path, data)
        file = StoredFile(path, sha256_of(data), len(data))
        return TensorFile(self.directory, file, array.shape, pixels.shape[:2], pixels.dtype.itemsize * 8)

    def _link(self, sha256: str, path: str) -> TensorFile | None:
        """Link the file made from the image `sha256`, if some directory has it and it is intact."""
        known = self._known.get(sha256)
        if known is None:
            return None
        source = known.directory / known.file.path
        try:
            data = source.read_bytes()
        except OSError:
            return None
        if sha256_of(data) != known.file.sha256:
            log.warning("%s is not what its manifest says, so it is made again and not linked", source)
            return None
        write_atomically(self.directory / path, data, same_as=source)
        return replace(known, directory=self.directory, file=replace(known.file, path=path), was_linked=True)

    def _others(self) -> Iterator[tuple[str, TensorFile]]:
        for path in sorted(self.directory.parent.glob("*/manifest.json")):
            if path.parent == self.directory:
                continue
            with contextlib.suppress(JewelenhError, KeyError, TypeError):
                manifest = read_manifest(path.parent)
                if manifest is None or manifest.kind != KIND or manifest.spec.get("format") != dict(self.layout):
                    continue
                for item in manifest.items.values():
                    record = item.record
                    shape, size = tuple(record["shape"]), tuple(record["native_size"])
                    for role in ("input", "target"):
                        made = TensorFile(path.parent, item.files[role], shape, size, record["bits"])
                        yield record["source"][role], made
