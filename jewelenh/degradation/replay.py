"""Make recorded draws again, from the photos and `draws.jsonl` alone, and say where the result differs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jewelenh.degradation.draws import ALGORITHM
from jewelenh.degradation.run import Degraded, degrade_photo, write_draws
from jewelenh.degradation.threads import in_threads, stem_of
from jewelenh.errors import ImageError
from jewelenh.images import Photo
from jewelenh.manifest import Item, canonical_json, sha256_of
from jewelenh.stage import Selection, Stage, check_failures, open_stage

log = logging.getLogger(__name__)

Line = Mapping[str, Any]


def replay(
    lines: Sequence[Line], raw: Selection, data_dir: Path, *, workers: int | None = None, on_error: str = "stop"
) -> Selection:
    """Make every line's photo again in `<data_dir>/degraded/<level>_replay-<fingerprint>` and compare it by SHA-256.

    Always from the start: the point is to know whether this machine makes the same. Photos without a line are left out.

    Raises:
        ItemsFailedError: some differ, or their photo is missing or another one; with `on_error=skip` only logged.
    """
    level = str(lines[0]["level"])
    spec = {"draws": sha256_of(canonical_json(list(lines)).encode()), "raw": raw.fingerprint, "algorithm": ALGORITHM}
    recorded = {(str(line["photo"]), int(line["variant"])): line for line in lines}
    with open_stage(data_dir / "degraded", f"{level}_replay", "replayed", spec) as stage:

        def make(item: Item, variant: int, photo: Photo) -> None:
            line = recorded[item.stem, variant]
            try:
                result = degrade_photo(item.stem, variant, line["draw"], photo)
            except TypeError as error:  # a parameter that no step has, or no number
                raise ImageError(f"What was drawn cannot be done: {error}.") from error
            _compare(result, line)
            result.save(stage, item.key)

        wanted = _find_photos(stage, raw, lines)
        in_threads(stage, raw, wanted, make, label=f"replay {level}", workers=workers)
        selection = stage.commit([stem_of(*place) for place in recorded])
        write_draws(stage.directory, level)
    log.info("replay: %d of %d made again, byte for byte, in %s", len(selection.items), len(lines), stage.directory)
    check_failures(selection, "replay", on_error)
    return selection


def _find_photos(stage: Stage, raw: Selection, lines: Sequence[Line]) -> list[tuple[Item, list[int]]]:
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


def _compare(result: Degraded, line: Line) -> None:
    pixels, file = result.record["pixels_sha256"], sha256_of(result.data)
    if pixels != line["pixels_sha256"]:
        raise ImageError("The pixels differ from the recorded ones.", expected=line["pixels_sha256"], found=pixels)
    if file != line["file_sha256"]:
        raise ImageError(
            "The pixels are the same, the PNG around them is not.", expected=line["file_sha256"], found=file
        )
