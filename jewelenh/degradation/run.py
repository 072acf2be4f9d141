"""The degraded stage: every raw photo at one level as lossless PNG, or recorded draws made again and compared."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import cv2

from jewelenh.config import Shard
from jewelenh.degradation.draws import ALGORITHM, DRAWS_FILE, Draw, apply, draws_bytes, pixels_sha256, sample
from jewelenh.degradation.levels import Degradation
from jewelenh.degradation.transforms import steps_of
from jewelenh.errors import ImageError
from jewelenh.files import lock, write_atomically
from jewelenh.hardware import n_cores
from jewelenh.images import Photo, encode_png
from jewelenh.manifest import Item, canonical_json, read_manifest, sha256_of
from jewelenh.progress import progress
from jewelenh.stage import Selection, Stage, check_failures, open_stage

log = logging.getLogger(__name__)

LONGEST_NAME = 255
"""Bytes of a file name, on every common file system."""
FAILS_ALONE = (ImageError, cv2.error, ValueError, MemoryError)
"""What is wrong with one photo; anything else ends the run."""

Degraded: TypeAlias = tuple[bytes, dict[str, Any]]
"""A PNG file, and the record of what was done."""
Make: TypeAlias = Callable[[Item, int, Photo], Degraded]
"""Makes one variant of a raw item, given its decoded photo."""


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
        StageError: the stage directory is busy, broken or not writable.
    """
    steps, variants = steps_of(level), range(level.variants)

    def make(item: Item, variant: int, photo: Photo) -> Degraded:
        return degrade_photo(item.stem, variant, sample(steps, seed, level.name, variant, item.stem), photo)

    with open_stage(data_dir / "degraded", level.name, "degraded", _spec(raw, level, seed), shard=shard) as stage:
        chosen = [item for i, item in enumerate(raw.items) if shard is None or i % shard.count == shard.index]
        wanted = [
            (item, [v for v in variants if not stage.is_finished(stem_of(item.stem, v), item.key)]) for item in chosen
        ]
        _make_in_threads(stage, raw, wanted, make, f"degrade {level.name}", workers)
        for stem, reason in raw.failures.items():
            stage.fail(stem, reason)
        selection = stage.commit([*(stem_of(item.stem, v) for item in chosen for v in variants), *raw.failures])
        _write_draws(stage.directory, level.name)
    check_failures(selection, "degrade", on_error)
    return selection


def replay(
    lines: Sequence[Mapping[str, Any]],
    raw: Selection,
    data_dir: Path,
    *,
    workers: int | None = None,
    on_error: str = "stop",
) -> Selection:
    """Make the photo of every line of a `draws.jsonl` again, in a stage of its own, and compare it by SHA-256.

    Always from the start: the point is to know whether this machine makes the same. Photos without a line are left out.

    Raises:
        ItemsFailedError: some differ, or their photo is missing or another one; with `on_error=skip` only logged.
    """
    level = str(lines[0]["level"])
    spec = {"draws": sha256_of(canonical_json(list(lines)).encode()), "raw": raw.fingerprint, "algorithm": ALGORITHM}
    recorded = {(str(line["photo"]), int(line["variant"])): line for line in lines}

    def make(item: Item, variant: int, photo: Photo) -> Degraded:
        line = recorded[item.stem, variant]
        try:
            data, record = degrade_photo(item.stem, variant, line["draw"], photo)
        except TypeError as error:  # a parameter that no step has, or no number
            raise ImageError(f"The draw is not one of this version's: {error}.") from error
        _compare("The pixels differ from the recorded ones.", line["pixels_sha256"], record["pixels_sha256"])
        _compare("The pixels are the same, the PNG around them is not.", line["file_sha256"], sha256_of(data))
        return data, record

    with open_stage(data_dir / "degraded", f"{level}_replay", "replayed", spec) as stage:
        _make_in_threads(stage, raw, _find_photos(stage, raw, lines), make, f"replay {level}", workers)
        selection = stage.commit([stem_of(*place) for place in recorded])
        _write_draws(stage.directory, level)
    log.info("replay: %d of %d made again, byte for byte, in %s", len(selection.items), len(lines), stage.directory)
    check_failures(selection, "replay", on_error)
    return selection


def stem_of(photo: str, variant: int) -> str:
    """Return the stem of a degraded photo."""
    return photo if variant == 0 else f"{photo}~{variant}"


def degrade_photo(photo_stem: str, variant: int, draw: Draw, photo: Photo) -> Degraded:
    """Do what was drawn; alpha, colour profile and EXIF stay as they are.

    16-bit photos are degraded at 8 bits, which the record says: any drawn noise or JPEG is far above what that loses.
    """
    n_bytes = len(os.fsencode(Path(stem_of(photo_stem, variant)).name + ".png"))
    if n_bytes > LONGEST_NAME:
        raise ImageError("The file name is too long.", expected=f"<= {LONGEST_NAME} bytes with .png", found=n_bytes)
    eight = photo.as_uint8()
    pixels = apply(draw, eight.pixels)
    record: dict[str, Any] = {"photo": photo_stem, "variant": variant, "draw": draw}
    record["pixels_sha256"] = pixels_sha256(pixels)
    if photo.pixels.dtype != pixels.dtype:
        record["raw_bits"] = 8 * photo.pixels.dtype.itemsize
    return encode_png(eight.with_pixels(pixels, eight.alpha)), record


def _spec(raw: Selection, level: Degradation, seed: int) -> dict[str, Any]:
    """Return all that changes a degraded photo, except the photo itself; more variants add to the same stage.

    No library version is in it: our arithmetic is exact, and OpenCV's fixed-point blur and resize and its JPEG have
    given the same bytes for years. Should that end, `replay` finds it, and `ALGORITHM` is raised.
    """
    values = asdict(level)
    del values["variants"]
    return {"raw": raw.fingerprint, "level": values, "seed": seed, "algorithm": ALGORITHM}


def _find_photos(stage: Stage, raw: Selection, lines: Sequence[Mapping[str, Any]]) -> list[tuple[Item, Sequence[int]]]:
    """Return the variants to make of each photo; a line whose photo is not there, or is another, fails."""
    items = {item.stem: item for item in raw.items}
    wanted: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        stem, item = stem_of(line["photo"], line["variant"]), items.get(line["photo"])
        if item is None:
            stage.fail(stem, raw.failures.get(line["photo"], "The source has no such photo."))
        elif item.key != line["raw_sha256"]:
            stage.fail(stem, f"The source's photo is another: expected {line['raw_sha256']}, found {item.key}")
        else:
            wanted[item.stem].append(line["variant"])
    return [(items[stem], variants) for stem, variants in wanted.items()]


def _compare(what: str, expected: str, found: str) -> None:
    if expected != found:
        raise ImageError(what, expected=expected, found=found)


def _write_draws(directory: Path, level: str) -> None:
    """Write `draws.jsonl` for all that the stage's manifest holds, unless it says so already."""
    path = directory / DRAWS_FILE
    with lock(directory / ".lock-commit"):  # the shard that writes last has read the last manifest
        manifest = read_manifest(directory)
        data = draws_bytes(manifest.items.values() if manifest else (), level)
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)


def _make_in_threads(
    stage: Stage,
    raw: Selection,
    wanted: Sequence[tuple[Item, Sequence[int]]],
    make: Make,
    label: str,
    workers: int | None,
) -> None:
    """Make and save each wanted variant; a photo is read once, and all of its variants are one thread's.

    Threads, not processes: OpenCV, NumPy, zlib and SHA-256 let go of the interpreter while they work, and starting a
    process costs as much as 300 photos. A photo that fails is noted and the others go on; a stage that cannot be
    written ends everything at once.
    """
    wanted = [(item, variants) for item, variants in wanted if variants]
    n_threads = workers or n_cores()
    with progress(label, len(wanted)) as advance, _one_opencv_thread(), ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(_make_one, stage, raw, item, variants, make) for item, variants in wanted]
        try:
            for future in as_completed(futures):
                future.result()
                advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make_one(stage: Stage, raw: Selection, item: Item, variants: Sequence[int], make: Make) -> None:
    photo: Photo | None = None
    for variant in variants:
        stem = stem_of(item.stem, variant)
        try:
            photo = photo or raw.photo(item)
            data, record = make(item, variant, photo)
        except FAILS_ALONE as error:
            stage.fail(stem, _reason(error))
        else:
            stage.save(stem, item.key, {"image": (f"{stem}.png", data)}, record)


def _reason(error: Exception) -> str:
    """Return one line that says why a photo failed; the stem beside it says which."""
    if isinstance(error, MemoryError):
        return "There is not enough memory for it; fewer hardware.workers need less."
    if not isinstance(error, ImageError):
        return " ".join(str(error).split()) or repr(error)
    details = [f"{name} {value}" for name, value in (("expected", error.expected), ("found", error.found)) if value]
    return " ".join(f"{error.what} {', '.join(details)}".split())


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own below each of ours; its results do not depend on them."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
