"""The degraded stage: every raw photo at one level, as lossless PNG, with what was drawn written beside."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jewelenh.config import Degradation, Shard
from jewelenh.degradation.draws import ALGORITHM, DRAWS_FILE, Draw, apply, draws_bytes, pixels_sha256, sample
from jewelenh.degradation.threads import in_threads, stem_of
from jewelenh.degradation.transforms import steps_of
from jewelenh.errors import ImageError
from jewelenh.files import lock, write_atomically
from jewelenh.images import Photo, encode_png
from jewelenh.manifest import Item, read_manifest
from jewelenh.stage import Selection, Stage, check_failures, open_stage

LONGEST_NAME = 255
"""Bytes of a file name, on every common file system."""


def degrade(
    raw: Selection,
    level: Degradation,
    seed: int,
    data_dir: Path,
    *,
    workers: int | None = None,
    on_error: str = "stop",
    shard: Shard | None = None,
) -> Selection:
    """Return every variant of every raw photo as a selection of stage `<data_dir>/degraded/<level>-<fingerprint>`.

    Variant 0 of `rings/a.jpg` has the same stem and the file `rings/a.jpg.png`; variant 1 is `rings/a.jpg~1`, and so
    on. What exists already, from this photo and these settings, is not made again. Photos that failed before this stage
    count as failed here too.

    Raises:
        ItemsFailedError: some photos failed, and `on_error` is not `skip`; the others are finished.
        StageError: the stage directory cannot be used.
    """
    steps, variants = steps_of(level), range(level.variants)
    with open_stage(data_dir / "degraded", level.name, "degraded", _spec(raw, level, seed), shard=shard) as stage:

        def make(item: Item, variant: int, photo: Photo) -> None:
            result = degrade_photo(item.stem, variant, sample(steps, seed, level.name, variant, item.stem), photo)
            result.save(stage, item.key)

        chosen = [item for i, item in enumerate(raw.items) if shard is None or i % shard.count == shard.index]
        wanted = [(item, left) for item in chosen if (left := _unfinished(stage, item, variants))]
        in_threads(stage, raw, wanted, make, label=f"degrade {level.name}", workers=workers)
        for stem, reason in raw.failures.items():
            stage.fail(stem, reason)
        stems = [stem_of(item.stem, variant) for item in chosen for variant in variants]
        selection = stage.commit([*stems, *raw.failures])
        write_draws(stage.directory, level.name)
    check_failures(selection, "degrade", on_error)
    return selection


def _spec(raw: Selection, level: Degradation, seed: int) -> dict[str, Any]:
    """Return all that changes a degraded photo, except the photo itself; more variants add to the same stage.

    No library version is in it: our arithmetic is exact, and OpenCV's fixed-point blur and resize and its JPEG have
    given the same bytes for years. Should that end, `replay` finds it, and `ALGORITHM` is raised.
    """
    values = asdict(level)
    del values["variants"]
    return {"raw": raw.fingerprint, "level": values, "seed": seed, "algorithm": ALGORITHM}


def _unfinished(stage: Stage, item: Item, variants: range) -> list[int]:
    return [variant for variant in variants if not stage.is_finished(stem_of(item.stem, variant), item.key)]


@dataclass(frozen=True)
class Degraded:
    """A degraded photo, ready to be saved."""

    stem: str
    data: bytes
    """A PNG file."""
    record: dict[str, Any]

    @property
    def path(self) -> str:
        """Return where it lies in its stage."""
        return f"{self.stem}.png"

    def save(self, stage: Stage, key: str) -> Item:
        """Save it under the content hash of its raw photo."""
        return stage.save(self.stem, key, {"image": (self.path, self.data)}, self.record)


def degrade_photo(photo_stem: str, variant: int, draw: Draw, photo: Photo) -> Degraded:
    """Do what was drawn; alpha, colour profile and EXIF stay as they are.

    16-bit photos are degraded at 8 bits, which the record says: any drawn noise or JPEG is far above what that loses.
    """
    stem, eight = stem_of(photo_stem, variant), photo.as_uint8()
    n_bytes = len(os.fsencode(Path(stem).name + ".png"))
    if n_bytes > LONGEST_NAME:
        raise ImageError("The file name is too long.", expected=f"<= {LONGEST_NAME} bytes with .png", found=n_bytes)
    pixels = apply(draw, eight.pixels)
    record: dict[str, Any] = {"photo": photo_stem, "variant": variant, "draw": draw}
    record["pixels_sha256"] = pixels_sha256(pixels)
    if photo.pixels.dtype != pixels.dtype:
        record["raw_bits"] = 8 * photo.pixels.dtype.itemsize
    return Degraded(stem, encode_png(eight.with_pixels(pixels, eight.alpha)), record)


def write_draws(directory: Path, level: str) -> Path:
    """Write `draws.jsonl` for all that the stage's manifest holds, unless it says so already."""
    path = directory / DRAWS_FILE
    with lock(directory / ".lock-commit", exclusive=True):  # the shard that writes last has read the last manifest
        manifest = read_manifest(directory)
        data = draws_bytes(manifest.items.values() if manifest else (), level)
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
    return path
