"""Photos as a report shows them: every version side by side, a magnified crop from the same place, thumbnails."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jewelenh.evaluation.photos import ScoredPhoto
from jewelenh.evaluation.scores import Evaluation, PhotoScore
from jewelenh.evaluation.scoring import Subjects
from jewelenh.images import Photo, Pixels, covering, encode
from jewelenh.metrics import METRICS
from jewelenh.reporting.render import Entry
from jewelenh.reporting.scores import gain_entry
from jewelenh.reporting.sheet import Picture, sheet, within

PAGE_SIDE_PX, THUMB_SIDE_PX, SHEET_SIDE_PX = 640, 96, 256
"""Longest sides of a picture in the page, in a table, on the sheet; crops are cut at full size."""
CROP_SHARE = 6
"""A crop's side is the photo's short side divided by this, at least 24 pixels."""
QUALITY, CROP_QUALITY, THUMB_QUALITY = 88, 95, 80


def data_uri(pixels: Pixels, quality: int = QUALITY, longest_px: int | None = None) -> str:
    """Return (H, W, 3) uint8 pixels as a WebP data URI, shrunk to `longest_px` where they are larger."""
    shown = within(pixels, longest_px) if longest_px else pixels
    data = encode(Photo(np.ascontiguousarray(shown)), ".webp", quality)
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
    """All versions of a photo at the size that was scored, and where refinement changed it most."""

    stem: str
    rank: int
    """From 0, the largest gain."""
    images: Mapping[str, Pixels]
    """raw, degraded (both may be missing), input, each checkpoint by its name, target."""
    crop: tuple[int, int, int]
    """Top, left and side of the place of the largest change, in pixels."""
    scores: Mapping[str, PhotoScore]
    """By checkpoint."""

    def caption(self, name: str) -> tuple[str, Entry | None]:
        """Return what is said of a version: its scores, and of a checkpoint's the gain."""
        if name == "input":
            return score_line(next(iter(self.scores.values())).values["input"]), None
        if name not in self.scores:
            return "", None
        values = self.scores[name].values
        gain = values["refined"]["psnr_db"] - values["input"]["psnr_db"]
        return score_line(values["refined"]), gain_entry(METRICS["psnr_db"], gain, unit=True)


def ranked_stems(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the stems from the largest gain in PSNR to the smallest, by the mean over the checkpoints."""
    tables = [run.against_target for run in evaluations]
    gains = {stem: sum(table.gain(table.by_stem[stem]) for table in tables) for stem in tables[0].by_stem}
    return sorted(gains, key=lambda stem: (-gains[stem], stem))


def versions_of(
    subjects: Subjects, photos: Sequence[ScoredPhoto], evaluations: Sequence[Evaluation], n_photos: int
) -> list[Versions]:
    """Return the photos with the largest, the median and the smallest gain (more of them evenly between)."""
    stems = ranked_stems(evaluations)
    by_stem = {one.stem: one for one in photos}
    found = []
    for rank in (int(rank) for rank in np.linspace(0, len(stems) - 1, min(n_photos, len(stems))).round()):
        one = by_stem[stems[rank]]
        images, crop = _images(subjects, one)
        scores = {run.name: run.against_target.by_stem[one.stem] for run in evaluations}
        found.append(Versions(one.stem, rank, images, crop, scores))
    return found


def _images(subjects: Subjects, one: ScoredPhoto) -> tuple[dict[str, Pixels], tuple[int, int, int]]:
    """Return the versions of a photo, and top, left and side of its crop."""
    made = dict(subjects.served(one) if one.is_served else subjects.at_pairs_size(one))
    first, refined = next(iter(made.values())), {name: each.refined for name, each in made.items()}
    height, width = first.input.shape[:2]
    side = min(height, width, max(24, min(height, width) // CROP_SHARE))
    top, left = place_of_change(first.input, list(refined.values()), first.target, side)
    before = {"raw": first.raw, "degraded": first.degraded}
    found = {name: covering(pixels, height, width) for name, pixels in before.items() if pixels is not None}
    return {**found, "input": first.input, **refined, "target": first.target}, (top, left, side)


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


def comparison(photos: Sequence[Versions], names: Sequence[str]) -> Image.Image:
    """Return raw | degraded | input | refined | target of the photos as one sheet."""
    heads = ["raw", "degraded", "input", *names, "target"]
    return sheet(heads, [[_picture(photo, head) for head in heads] for photo in photos], SHEET_SIDE_PX)


def _picture(photo: Versions, name: str) -> Picture:
    scores, gain = photo.caption(name)
    if gain is not None:
        return Picture(photo.images[name], (scores, gain.text), gain.tone)
    text = photo.stem if name == "raw" else scores
    return Picture(photo.images.get(name), (text,) if text else ())


def score_line(values: Mapping[str, float]) -> str:
    """Return PSNR and SSIM in one line."""
    ssim = f"   SSIM {METRICS['ssim'].text(values['ssim'])}" if "ssim" in values else ""
    return METRICS["psnr_db"].text(values["psnr_db"], unit=True) + ssim
