"""Photos as a report shows them: every version side by side, a magnified crop from the same place, thumbnails."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jewelenh.evaluation.photos import Originals, find_originals, read_original, read_pixels
from jewelenh.evaluation.scores import Evaluation, PhotoScore
from jewelenh.evaluation.scoring import Refine
from jewelenh.images import Photo, Pixels, encode, resize
from jewelenh.metrics import METRICS
from jewelenh.pairs.contract import Pair, PairsManifest
from jewelenh.reporting.sheet import Picture, sheet

PAGE_SIDE_PX, THUMB_SIDE_PX, SHEET_SIDE_PX = 640, 96, 256
"""Longest sides of a picture in the page, in a table, on the sheet; crops are cut at full size."""
CROP_SHARE = 6
"""A crop's side is the photo's short side divided by this, at least 24 pixels."""
QUALITY, CROP_QUALITY, THUMB_QUALITY = 88, 95, 80


def data_uri(pixels: Pixels, quality: int = QUALITY, longest_px: int | None = None) -> str:
    """Return (H, W, 3) uint8 pixels as a WebP data URI, shrunk to `longest_px` where they are larger."""
    height, width = pixels.shape[:2]
    scale = min(1.0, longest_px / max(height, width)) if longest_px else 1.0
    if scale < 1:
        pixels = resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)), "area")
    data = encode(Photo(np.ascontiguousarray(pixels)), ".webp", quality)
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")


class Thumbnails:
    """An observer that keeps a small picture of every photo, as the first checkpoint refined it."""

    def __init__(self, name: str, most: int = 200) -> None:
        self.name, self.most = name, most
        self.uris: dict[str, str] = {}

    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Keep a picture of the checkpoint's."""
        if name == self.name and len(self.uris) < self.most:
            self.uris[stem] = data_uri(image, THUMB_QUALITY, THUMB_SIDE_PX)


@dataclass(frozen=True)
class Versions:
    """All versions of a photo at the size of its pair, and where refinement changed it most."""

    stem: str
    rank: int
    """From 0, the largest gain."""
    images: Mapping[str, Pixels]
    """raw, degraded (both may be missing), input, each checkpoint by its name, target."""
    crop: tuple[int, int, int]
    """Top, left and side of the place of the largest change, in pixels."""
    scores: Mapping[str, PhotoScore]
    """By checkpoint."""


def ranked_stems(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the stems from the largest gain in PSNR to the smallest, by the mean over the checkpoints."""
    gains: dict[str, float] = {}
    for evaluation in evaluations:
        table = evaluation.against_target
        for score in table.photos:
            gains[score.stem] = gains.get(score.stem, 0.0) + table.gain(score)
    return sorted(gains, key=lambda stem: (-gains[stem], stem))


def versions_of(
    refines: Mapping[str, Refine], pairs: PairsManifest, evaluations: Sequence[Evaluation], n_photos: int
) -> list[Versions]:
    """Return the photos with the largest, the median and the smallest gain (more of them evenly between)."""
    stems = ranked_stems(evaluations)
    by_stem = {pair.stem: pair for pair in pairs.pairs}
    ranks = [int(rank) for rank in np.linspace(0, len(stems) - 1, min(n_photos, len(stems))).round()]
    originals = find_originals(pairs, [by_stem[stems[rank]] for rank in ranks])
    scores = {
        run.name: {score.stem: score for score in run.against_target.photos} for run in evaluations
    }  # fmt: skip
    return [
        _versions(refines, pairs, by_stem[stem], originals[stem], rank, {n: found[stem] for n, found in scores.items()})
        for rank, stem in ((rank, stems[rank]) for rank in ranks)
    ]


def _versions(
    refines: Mapping[str, Refine],
    pairs: PairsManifest,
    pair: Pair,
    originals: Originals,
    rank: int,
    scores: Mapping[str, PhotoScore],
) -> Versions:
    _, input, target = next(read_pixels(pairs, [pair]))
    refined = {name: refine(input) for name, refine in refines.items()}
    height, width = input.shape[:2]
    side = min(height, width, max(24, min(height, width) // CROP_SHARE))
    top, left = place_of_change(input, list(refined.values()), target, side)
    raw, degraded = (read_original(file) for file in (originals.raw, originals.degraded))
    found = {
        "raw": None if raw is None else aligned(raw, height, width),
        "degraded": None if degraded is None else aligned(degraded, height, width),
        "input": input,
        **refined,
        "target": target,
    }
    images = {name: pixels for name, pixels in found.items() if pixels is not None}
    return Versions(pair.stem, rank, images, (top, left, side), scores)


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


def aligned(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bring an original to a pair's size by the pairs' geometry: scaled to cover it, then cropped in the centre."""
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = max(height, round(pixels.shape[0] * scale)), max(width, round(pixels.shape[1] * scale))
    covering = resize(pixels, tall, wide, "bicubic" if scale > 1 else "area")
    top, left = (tall - height) // 2, (wide - width) // 2
    return covering[top : top + height, left : left + width]


def comparison(photos: Sequence[Versions], names: Sequence[str]) -> Image.Image:
    """Return raw | degraded | input | refined | target of the photos as one sheet."""
    return sheet(["raw", "degraded", "input", *names, "target"], [_row(one, names) for one in photos], SHEET_SIDE_PX)


def _row(photo: Versions, names: Sequence[str]) -> list[Picture]:
    first = photo.scores[names[0]]
    refined = []
    for name in names:
        values = photo.scores[name].values
        gain = values["refined"]["psnr_db"] - values["input"]["psnr_db"]
        tone = "better" if gain > 0 else "worse"
        gain_text = METRICS["psnr_db"].text(gain, sign=True, unit=True)
        refined.append(Picture(photo.images[name], (score_line(values["refined"]), gain_text), tone))
    return [
        Picture(photo.images.get("raw"), (photo.stem,)),
        Picture(photo.images.get("degraded")),
        Picture(photo.images["input"], (score_line(first.values["input"]),)),
        *refined,
        Picture(photo.images["target"]),
    ]


def score_line(values: Mapping[str, float]) -> str:
    """Return PSNR and SSIM in one line."""
    return "   ".join(
        METRICS[name].text(values[name], unit=True) if name == "psnr_db" else f"SSIM {METRICS[name].text(values[name])}"
        for name in ("psnr_db", "ssim")
        if name in values
    )
