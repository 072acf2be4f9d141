"""What was drawn for each photo: sampled from a level, applied to pixels, written to and read from `draws.jsonl`.

One line a degraded photo, sorted by photo and variant:

    {"algorithm": 1, "photo": "rings/a.jpg", "variant": 0, "level": "mild", "raw_sha256": "...", "pixels_sha256": "...",
     "file": "rings/a.jpg.png", "draw": {"blur": {"gaussian_sigma_px": 0.83}, "jpeg": {"quality": 78}}}

A step that is not in `draw` did not fire. With the photo itself, a line is all that it takes to make the pixels again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jewelenh.degradation.transforms import N_UNIFORMS, STEPS, Step
from jewelenh.errors import StageError
from jewelenh.images import Pixels
from jewelenh.manifest import Item, sha256_of
from jewelenh.seeds import generator_for

ALGORITHM = 1
"""Raised whenever the same draw gives other pixels, or the same seed another draw."""
DRAWS_FILE = "draws.jsonl"

Draw: TypeAlias = dict[str, dict[str, Any]]
"""Name of a step that fired -> its drawn parameters."""


def sample(steps: Sequence[Step], seed: int, level: str, variant: int, stem: str) -> Draw:
    """Draw which steps fire for this variant of this photo, and how; nothing else has a part in it."""
    generator = generator_for(seed, "degrade", level, variant, stem)
    draw = {}
    for step in steps:
        uniforms = iter(generator.random(N_UNIFORMS).tolist())
        if next(uniforms) < step.p:
            draw[step.name] = step.draw(uniforms)
    return draw


def apply(draw: Draw, pixels: Pixels) -> Pixels:
    """Do to (H, W, 3) uint8 what was drawn, in the order of the steps."""
    for step in STEPS:
        if step.name in draw:
            pixels = step.do(pixels, **draw[step.name])
    return pixels


def pixels_sha256(pixels: Pixels) -> str:
    """Return the SHA-256 of shape and values, which does not depend on how a file stores them."""
    height, width, n_channels = pixels.shape
    return sha256_of(
        f"{height}x{width}x{n_channels} {pixels.dtype}\n".encode() + np.ascontiguousarray(pixels).tobytes()
    )


def draws_bytes(items: Iterable[Item], level: str) -> bytes:
    """Return the content of `draws.jsonl` for finished items of a degraded stage."""
    ordered = sorted(items, key=lambda item: (item.record["photo"], item.record["variant"]))
    return "".join(json.dumps(_line(item, level), sort_keys=True) + "\n" for item in ordered).encode()


def _line(item: Item, level: str) -> dict[str, Any]:
    return {
        "algorithm": ALGORITHM,
        "level": level,
        "raw_sha256": item.key,
        "file": item.files["image"].path,
        "file_sha256": item.files["image"].sha256,
        **item.record,
    }


def read_draws(file: Path) -> list[Mapping[str, Any]]:
    """Return the lines of a `draws.jsonl`.

    Raises:
        StageError: the file is not there, is not one of these, or was written by another version of the algorithm.
    """
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        for line in lines:
            _check(line)
        if not lines:
            raise ValueError("no line")
    except OSError as error:
        raise StageError(
            f"The draws cannot be read: {error.strerror}.", where=file, fix="replay=<stage directory>/draws.jsonl"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(
            "This is no file of draws.", where=file, found=str(error) or repr(error), fix="give a draws.jsonl"
        ) from error
    return lines


def _check(line: Mapping[str, Any]) -> None:
    if line["algorithm"] != ALGORITHM:
        raise ValueError(f"algorithm {line['algorithm']}; this version knows {ALGORITHM}")
    unknown = set(line["draw"]) - {step.name for step in STEPS}
    if unknown:
        raise ValueError(f"{line['photo']}: unknown steps {sorted(unknown)}")
    for key in ("photo", "variant", "level", "raw_sha256", "pixels_sha256", "file", "file_sha256"):
        line[key]  # a KeyError names what is missing
