"""Photos for the report: five versions side by side, and a magnified crop of each from the same place."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jewelenh.evaluation.originals import Originals, find_originals, read_original
from jewelenh.evaluation.protocol import Evaluation, Refine, read_pixels
from jewelenh.images import Photo, Pixels, encode, resize
from jewelenh.pairs.contract import Pair, PairsManifest

PAGE_SIDE = 640
"""Longest side of a picture in the page; crops are cut before that."""
CROP_SHARE = 6
"""A crop's side is the photo's short side divided by this, at least 24 pixels."""
QUALITY, CROP_QUALITY, THUMB_QUALITY = 88, 95, 80
THUMB_SIDE = 96


@dataclass(frozen=True)
class Shot:
    """One version of a photo, as data URIs."""

    role: str
    """raw, degraded, input, target, or a checkpoint's name (`refined` where there is one only)."""
    uri: str
    crop_uri: str


@dataclass(frozen=True)
class Strip:
    """All versions of a photo."""

    stem: str
    rank: int
    """From 0, the largest gain."""
    shots: tuple[Shot, ...]
    box: tuple[float, float, float, float]
    """Left, top, width and height of the crop, as shares of the picture."""
    crop_px: int
    size: tuple[int, int]
    """Height and width in pixels, before the page."""


class Thumbnails:
    """A witness that keeps a small picture of every photo, as the first checkpoint refined it."""

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.uris: dict[str, str] = {}

    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Keep a picture of the checkpoint's."""
        if name == self.name and len(self.uris) < self.most:
            self.uris[stem] = data_uri(_within(image, THUMB_SIDE), THUMB_QUALITY)


def ranked_stems(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the stems from the largest gain in PSNR to the smallest, by the mean over the checkpoints."""
    gains: dict[str, float] = {}
    for evaluation in evaluations:
        for score in evaluation.photos:
            gains[score.stem] = gains.get(score.stem, 0.0) + score.gain("psnr_db")
    return sorted(gains, key=lambda stem: (-gains[stem], stem))


def picked(n_all: int, n_wanted: int) -> list[int]:
    """Return ranks from the first to the last, evenly between."""
    return [int(rank) for rank in np.linspace(0, n_all - 1, min(n_wanted, n_all)).round()]


def make_strips(
    refines: Mapping[str, Refine], pairs: PairsManifest, evaluations: Sequence[Evaluation], n_photos: int
) -> list[Strip]:
    """Return the photos with the largest, the median and the smallest gain (more of them evenly between)."""
    stems = ranked_stems(evaluations)
    by_stem = {pair.stem: pair for pair in pairs.pairs}
    ranks = picked(len(stems), n_photos)
    originals = find_originals(pairs, [by_stem[stems[rank]] for rank in ranks])
    return [_strip(refines, pairs, by_stem[stems[rank]], originals[stems[rank]], rank) for rank in ranks]


def _strip(refines: Mapping[str, Refine], pairs: PairsManifest, pair: Pair, originals: Originals, rank: int) -> Strip:
    _, input, target = next(read_pixels(pairs, [pair]))
    refined = {name: refine(input) for name, refine in refines.items()}
    height, width = input.shape[:2]
    side = min(height, width, max(24, min(height, width) // CROP_SHARE))
    top, left = place_of_change(input, list(refined.values()), target, side)
    pictures: dict[str, Pixels | None] = {
        "raw": aligned(read_original(originals.raw), height, width),
        "degraded": aligned(read_original(originals.degraded), height, width),
        "input": input,
        **refined,
        "target": target,
    }
    shots = tuple(
        Shot(
            role,
            data_uri(_within(pixels, PAGE_SIDE), QUALITY),
            data_uri(pixels[top : top + side, left : left + side], CROP_QUALITY),
        )
        for role, pixels in pictures.items()
        if pixels is not None
    )
    box = (left / width, top / height, side / width, side / height)
    return Strip(pair.stem, rank, shots, box, side, (height, width))


def place_of_change(input: Pixels, refined: Sequence[Pixels], target: Pixels, side: int) -> tuple[int, int]:
    """Return (top, left) of the window in which any of `refined` changed the squared error to `target` most."""
    before = _squared_error(input, target)
    changes = [np.abs(_window_sums(_squared_error(one, target) - before, side)) for one in refined]
    most = np.max(changes, axis=0)
    top, left = np.unravel_index(int(most.argmax()), most.shape)
    return int(top), int(left)


def _squared_error(image: Pixels, target: Pixels) -> Pixels:
    return np.asarray(((image.astype(np.int64) - target) ** 2).sum(axis=2))


def _window_sums(values: Pixels, side: int) -> Pixels:
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return np.asarray(total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side])


def aligned(pixels: Pixels | None, height: int, width: int) -> Pixels | None:
    """Bring an original to a pair's size by the pairs' geometry: scaled to cover it, then cropped in the centre."""
    if pixels is None:
        return None
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = max(height, round(pixels.shape[0] * scale)), max(width, round(pixels.shape[1] * scale))
    covering = resize(pixels, tall, wide, "bicubic" if scale > 1 else "area")
    top, left = (tall - height) // 2, (wide - width) // 2
    return covering[top : top + height, left : left + width]


def data_uri(pixels: Pixels, quality: int) -> str:
    """Return (H, W, 3) uint8 pixels as a WebP data URI."""
    data = encode(Photo(np.ascontiguousarray(pixels)), ".webp", quality)
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")


def _within(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)), "area")
