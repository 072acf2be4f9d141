"""All images of a split in one flat piece of memory: one copy, however many workers read it, or on the device."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jewelenh.errors import PairsError
from jewelenh.images import grey_levels, signed_array
from jewelenh.manifest import StoredFile
from jewelenh.pairs.contract import Format, Pair, PairsManifest
from jewelenh.pairs.npy import Array, Header, view


@dataclass(frozen=True)
class Store:
    """Images one after another, each (3, H, W) RGB, in one buffer that worker processes inherit and never copy."""

    flat: Array
    """(n_values,), uint8 or the storage dtype."""
    offsets: Mapping[str, int]
    """First value of each file, by its relative path."""
    shapes: Mapping[str, tuple[int, int, int]]
    """(3, H, W) of each."""

    def image(self, path: str) -> Array:
        """Return one image, (3, H, W), without copying it."""
        shape, offset = self.shapes[path], self.offsets[path]
        return self.flat[offset : offset + shape[0] * shape[1] * shape[2]].reshape(shape)

    @property
    def n_bytes(self) -> int:
        """Return the memory that the images take."""
        return int(self.flat.nbytes)


def planes(array: Array, layout: Format) -> Array:
    """Return a stored image as (3, H, W) RGB, without copying it."""
    chw = array if layout.layout == "chw" else array.transpose(2, 0, 1)
    return chw if layout.colours == "rgb" else chw[::-1]


def load(manifest: PairsManifest, pairs: Sequence[Pair], headers: Mapping[str, Header], *, as_uint8: bool) -> Store:
    """Read every file of `pairs` once, verify its sha256 and keep it.

    float32 in [-1, 1] that came from 8-bit images is kept as uint8: the same values in a quarter of the memory. With
    `as_uint8` all others are rounded to the nearest grey level too.

    Raises:
        PairsError: the memory is not there, or a file is not the one in the manifest.
    """
    layout = manifest.format
    exact = layout.dtype == "float32" and layout.range == "signed" and all(p.record.get("bits") == 8 for p in pairs)
    dtype = np.dtype("uint8" if exact or as_uint8 else layout.dtype)
    files = {file.path: (file, pair) for pair in pairs for file in (pair.input, pair.target)}
    shapes = {path: (3, *manifest.side(pair)) for path, (_, pair) in files.items()}
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    offsets = dict(zip(shapes, np.cumsum([0, *sizes])[:-1].tolist(), strict=True))
    n_bytes = sum(sizes) * dtype.itemsize
    _check_memory(n_bytes, manifest.directory)
    store = Store(np.frombuffer(mmap.mmap(-1, max(n_bytes, 1)), dtype, sum(sizes)), offsets, shapes)
    with ThreadPoolExecutor(8) as pool:
        for job in [
            pool.submit(_fill, store.image(path), manifest, file, headers[path], exact)
            for path, (file, _) in files.items()
        ]:
            job.result()
    return store


def _fill(into: Array, manifest: PairsManifest, file: StoredFile, header: Header, exact: bool) -> None:
    stored = view(manifest.path(file), header)
    if sha256_of_npy(manifest.path(file)) != file.sha256:
        raise PairsError(
            "A file is not the one in the manifest.",
            where=manifest.path(file),
            expected=f"sha256 {file.sha256}",
            fix=f"python -m jewelenh.pair check=true directory={manifest.directory}",
        )
    values = planes(stored, manifest.format)
    if into.dtype == stored.dtype:
        into[...] = values
        return
    into[...] = grey_levels(values, manifest.format.range)
    if exact and not np.array_equal(signed_array(into, "float32"), values):
        raise PairsError("The manifest says 8-bit values, the file holds others.", where=manifest.path(file))


def sha256_of_npy(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


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
        lines: list[Any] = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
