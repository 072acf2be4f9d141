"""Many photos at once, by as many threads as there are cores; one bad photo never stops the others.

Threads, not processes: OpenCV, NumPy, zlib and SHA-256 let go of the interpreter while they work, and starting a
process costs as much as 300 photos. Shards (`shard.count`) split a large set over processes or machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeAlias

import cv2

from jewelenh.errors import ImageError
from jewelenh.hardware import n_cores
from jewelenh.images import Photo, decode, read_bytes
from jewelenh.manifest import Item, sha256_of
from jewelenh.progress import progress
from jewelenh.stage import Selection, Stage

Make: TypeAlias = Callable[[Item, int, Photo], None]
"""Make and save one variant of a raw item, given its decoded photo."""


def stem_of(photo: str, variant: int) -> str:
    """Return the stem of a degraded photo."""
    return photo if variant == 0 else f"{photo}~{variant}"


def in_threads(
    stage: Stage,
    raw: Selection,
    wanted: Sequence[tuple[Item, Sequence[int]]],
    make: Make,
    *,
    label: str,
    workers: int | None,
) -> None:
    """Call `make` for each wanted variant; a photo is read once, and all of its variants are one thread's.

    A photo that fails is noted and the others go on; a stage that cannot be written ends everything at once.
    """
    n_threads = workers or n_cores()
    with progress(label, len(wanted)) as advance, _one_opencv_thread(), ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(_make_all, stage, raw, item, variants, make) for item, variants in wanted]
        try:
            for future in as_completed(futures):
                future.result()
                advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_FAILURES = (ImageError, cv2.error, ValueError, MemoryError)
"""What is wrong with one photo; anything else ends the run."""


def _make_all(stage: Stage, raw: Selection, item: Item, variants: Sequence[int], make: Make) -> None:
    try:
        photo = _read(raw, item)
    except _FAILURES as error:
        for variant in variants:
            stage.fail(stem_of(item.stem, variant), _reason(error))
        return
    for variant in variants:
        try:
            make(item, variant, photo)
        except _FAILURES as error:
            stage.fail(stem_of(item.stem, variant), _reason(error))


def _read(raw: Selection, item: Item) -> Photo:
    path = raw.file(item)
    data = read_bytes(path)
    if sha256_of(data) != item.key:
        raise ImageError("The photo has changed since it was indexed; run again.", where=path)
    return decode(data, path)


def _reason(error: Exception) -> str:
    """Return one line that says why a photo failed; the stem beside it says which."""
    if isinstance(error, MemoryError):
        return "There is not enough memory for it; fewer workers=... need less."
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
