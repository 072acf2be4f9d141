"""How near the enhancer's picture and the refined one come to a reference: PSNR, SSIM, CIEDE2000."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from jewelenh.errors import ImageError
from jewelenh.images import Photo, Pixels, resize, to_uint8, to_unit
from jewelenh.metrics import ciede2000, psnr_db, ssim

LONGEST_PX = 2048
"""Larger pictures are scored at this long side, which the table says: memory stays flat."""
SHORTEST_PX = 11
"""The window of SSIM."""
SAME_SHAPE = 0.02
"""Aspect ratios may differ by this share: a photo of 263 pixels may have lost one on the way."""


@dataclass(frozen=True)
class Scores:
    """A table: for each picture PSNR in dB, SSIM and CIEDE2000."""

    against: str
    """What it was compared to, or why it could not be."""
    size: tuple[int, int] | None
    """(height, width) it was compared at; None where it was not."""
    rows: Mapping[str, Mapping[str, float]]


def score(reference: Photo, called: str, pictures: Mapping[str, Photo]) -> Scores:
    """Score pictures of equal size against `reference`, all brought to the smaller of the two sizes.

    Raises:
        ImageError: the reference has another shape, or is too small.
    """
    first = next(iter(pictures.values()))
    height, width = _common_size(reference.size, first.size, called)
    target = _at(reference, height, width)
    rows = {}
    for name, photo in pictures.items():
        picture = _at(photo, height, width)
        rows[name] = {
            "psnr_db": float(psnr_db(picture, target)),
            "ssim": float(ssim(picture, target)),
            "ciede2000": float(ciede2000(picture, target)),
        }
    return Scores(called, (height, width), rows)


def _common_size(reference: tuple[int, int], picture: tuple[int, int], called: str) -> tuple[int, int]:
    if abs(reference[0] * picture[1] / (reference[1] * picture[0]) - 1) > SAME_SHAPE:
        raise ImageError(
            "The reference has another shape than the photo, so there are no scores.",
            where=called,
            expected=f"{picture[1]}x{picture[0]} or a size of the same shape",
            found=f"{reference[1]}x{reference[0]}",
        )
    height, width = min(reference, picture)
    factor = min(1.0, LONGEST_PX / max(height, width))
    height, width = round(height * factor), round(width * factor)
    if min(height, width) < SHORTEST_PX:
        raise ImageError(f"For scores a photo needs {SHORTEST_PX} pixels a side.", where=called)
    return height, width


def _at(photo: Photo, height: int, width: int) -> torch.Tensor:
    pixels: Pixels = resize(to_uint8(photo.pixels), height, width, "area")
    return to_unit(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None])
