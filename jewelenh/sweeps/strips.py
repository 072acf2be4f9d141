"""The same test photos through every run of a sweep, side by side."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jewelenh.errors import JewelenhError
from jewelenh.evaluation.photos import read_pixels
from jewelenh.images import Pixels, resize
from jewelenh.manifest import sha256_of
from jewelenh.pairs.contract import Pair, PairsManifest, read_pairs
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.refinement.runs import BEST, CHECKPOINTS
from jewelenh.reporting.pictures import data_uri
from jewelenh.restorer import Restorer
from jewelenh.sweeps.gather import Result, SweepResults

log = logging.getLogger(__name__)

SIDE, QUALITY = 260, 85
MOST_RUNS = 24
"""In one strip: the first of the table."""


@dataclass(frozen=True)
class Shot:
    """One photo in one run: pictures as data URIs, and what the refinement gained."""

    label: str
    input: str
    refined: str
    gain_db: float


@dataclass(frozen=True)
class Strip:
    """One photo in all runs that were tested on it, in the order of the table: seeds split the photos differently."""

    photo: str
    target: str
    shots: tuple[Shot, ...]
    n_runs: int


def make_strips(sweep: SweepResults, n_photos: int) -> list[Strip]:
    """Return strips of the photos that most of the runs were tested on; none where their pairs are gone."""
    runs = sweep.tested[:MOST_RUNS]
    if len(sweep.tested) > MOST_RUNS:
        log.info("the pictures show the first %d of %d runs", MOST_RUNS, len(sweep.tested))
    photos = chosen_photos(runs, n_photos)
    targets: dict[str, str] = {}
    shots: dict[str, list[Shot]] = {photo: [] for photo in photos}
    for result in runs:
        try:
            found = _shots(result, photos, targets)
        except JewelenhError as error:
            log.warning("no pictures of job %d: %s", result.note.number, error.what)
            found = {}
        for photo, shot in found.items():
            shots[photo].append(shot)
    return [Strip(photo, targets[photo], tuple(shots[photo]), len(runs)) for photo in photos if photo in targets]


def chosen_photos(results: Sequence[Result], n_photos: int) -> list[str]:
    """Return the photos that most runs were tested on; among equals a fixed choice that no result decides."""
    n_runs = Counter(photo for result in results for photo in {photo["photo"] for photo in result.metrics["photos"]})
    ranked = sorted(n_runs, key=lambda photo: (-n_runs[photo], sha256_of(photo.encode("utf-8", "surrogateescape"))))
    return ranked[:n_photos]


def _shots(result: Result, photos: Sequence[str], targets: dict[str, str]) -> dict[str, Shot]:
    """Refine the photos that are in this run's test; add their targets."""
    checkpoint = read_checkpoint(result.run_dir / CHECKPOINTS / BEST)
    pairs = read_pairs(checkpoint.pairs_dir)
    restorer = Restorer(checkpoint.network(), checkpoint.enhancer)
    shots = {}
    for pair in _first_versions(pairs, photos):
        _, input, target = next(read_pixels(pairs, [pair]))
        targets.setdefault(pair.photo, _uri(target))
        score = next(photo for photo in result.metrics["photos"] if photo["stem"] == pair.stem)
        gain_db = score["refined"]["psnr_db"] - score["input"]["psnr_db"]
        shots[pair.photo] = Shot(result.label, _uri(input), _uri(restorer.refine(input)), gain_db)
    return shots


def _first_versions(pairs: PairsManifest, photos: Sequence[str]) -> list[Pair]:
    found: dict[str, Pair] = {}
    for pair in pairs.split("test"):
        if pair.photo in photos:
            found.setdefault(pair.photo, pair)
    return list(found.values())


def _uri(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)), "area")
    return data_uri(np.ascontiguousarray(small), QUALITY)
