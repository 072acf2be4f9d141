"""Score photos by one protocol: the same numbers at the end of training, in `evaluate`, and in every table.

What is scored is what `Restorer.restore` returns, at the size it returns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch

from jewelenh.config import Enhancer
from jewelenh.degradation.levels import UNDEGRADED
from jewelenh.errors import ImageError, PairsError
from jewelenh.evaluation.photos import (
    EnhancedPhoto,
    EnhancedPhotos,
    ScoredPhoto,
    photos_named,
    photos_of_pairs,
)
from jewelenh.evaluation.scores import N_RESAMPLES, PhotoScore, ScoreTable
from jewelenh.images import Pixels, resize, to_uint8
from jewelenh.metrics import PIXEL_METRICS, PSNR_CEILING_DB, Metric, scores_of
from jewelenh.pairs.contract import PairsManifest, SplitName
from jewelenh.progress import progress
from jewelenh.refinement.checkpoint import Checkpoint
from jewelenh.restoration.restorer import Restorer

Values: TypeAlias = Mapping[str, Mapping[str, float]]
"""By image, then by metric."""
Scores: TypeAlias = Mapping[str, list[PhotoScore]]
"""By table: `target`, `raw`, `pairs`."""


@dataclass(frozen=True)
class Made:
    """What one checkpoint and its enhancer make of a photo, (H, W, 3) uint8."""

    input: Pixels
    target: Pixels
    refined: Pixels
    raw: Pixels | None = None
    degraded: Pixels | None = None
    """Both None where these are the pair's own tensors, at its size."""


class Observer(Protocol):
    """Sees every scored picture beside its target: `input` once, then `refined` under its checkpoint's name."""

    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Take one picture, (H, W, 3) uint8."""


@dataclass(frozen=True)
class Subjects:
    """What is evaluated: checkpoints by name, ready to restore, and the photos they meet on."""

    checkpoints: Mapping[str, Checkpoint]
    restorers: Mapping[str, Restorer]
    pairs: PairsManifest | None
    """None where they are gone; then the photos are those that the first checkpoint's configuration names."""
    data_dir: Path
    """Of the stages that enhanced photos may lie in."""

    def photos(self, split: SplitName) -> list[ScoredPhoto]:
        """Return the photos of a split; raise PairsError where there are none."""
        if self.pairs is not None:
            found = photos_of_pairs(self.pairs, split)
        else:
            found = photos_named(next(iter(self.checkpoints.values())).config, self.data_dir, split)
        if not found:
            where = self.pairs and self.pairs.directory
            fix = "more photos: source.limit"
            raise PairsError(f"There are no pairs to score in {split}.", where=where, fix=fix)
        return found

    def has_pairs_table(self, one: ScoredPhoto) -> bool:
        """Say whether the pair's own tensors are scored, too: networks after the enhancer see them at another size."""
        placements = {restorer.geometry.placement for restorer in self.restorers.values()}
        if self.pairs is None or one.pair is None or {self.pairs.placement, *placements} != {"after"}:
            return False
        return one.level != UNDEGRADED and (self.pairs.format.size is not None or not one.is_served)

    @cached_property
    def _enhanced(self) -> dict[Enhancer, EnhancedPhotos]:
        return {one.enhancer: EnhancedPhotos(one, self.data_dir) for one in self.restorers.values()}

    def served(self, one: ScoredPhoto) -> Iterator[tuple[str, Made]]:
        """Restore a photo as a user's would be, by each checkpoint in turn."""
        enhanced: dict[Enhancer, EnhancedPhoto] = {}
        for name, restorer in self.restorers.items():
            if restorer.enhancer not in enhanced:
                enhanced[restorer.enhancer] = self._enhanced[restorer.enhancer].of(one)
            photo = enhanced[restorer.enhancer]
            refined = restorer.restore_from(photo.degraded, photo.input)
            shown = (photo.input, photo.target, refined, photo.raw, photo.degraded)
            yield name, Made(*(to_uint8(picture.pixels) for picture in shown))

    def at_pairs_size(self, one: ScoredPhoto) -> Iterator[tuple[str, Made]]:
        """Run the networks alone on the pair's own tensors."""
        assert self.pairs is not None
        assert one.pair is not None
        input, target = self.pairs.pixels(one.pair.input), self.pairs.pixels(one.pair.target)
        for name, restorer in self.restorers.items():
            yield name, Made(input, target, restorer.refine(input))


def score_photos(
    subjects: Subjects,
    photos: Sequence[ScoredPhoto],
    metrics: Sequence[Metric] = PIXEL_METRICS,
    observers: Sequence[Observer] = (),
    label: str = "score",
) -> dict[str, Scores]:
    """Score photos in 8 bits, which is what a user's file would hold; return by checkpoint the scores of each table.

    Raises:
        ImageError: a photo that cannot be restored, or a network that gives NaN.
    """
    scores: dict[str, dict[str, list[PhotoScore]]] = {name: defaultdict(list) for name in subjects.restorers}
    with torch.inference_mode(), progress(label, len(photos)) as advance:
        for one in photos:
            try:
                for name, table, values in _scored(subjects, one, metrics, observers):
                    scores[name][table].append(PhotoScore(one.stem, one.photo, values, one.level))
            except ImageError as error:
                raise ImageError(error.what, where=one.stem, fix=error.fix) from error
            advance()
    return {name: {table: _comparable(rows) for table, rows in found.items()} for name, found in scores.items()}


def _scored(
    subjects: Subjects, one: ScoredPhoto, metrics: Sequence[Metric], observers: Sequence[Observer]
) -> Iterator[tuple[str, str, Values]]:
    """Yield (checkpoint, table, values); a photo that was not degraded is its own target, so it has `raw` alone."""
    if one.is_served:
        yield from _scored_as_served(subjects, one, metrics, () if one.level == UNDEGRADED else observers)
    if not subjects.has_pairs_table(one):
        return
    before: Mapping[str, float] = {}
    for name, made in subjects.at_pairs_size(one):
        before = before or scores_of(made.input, made.target, metrics)
        yield name, "pairs", {"input": before, "refined": scores_of(made.refined, made.target, metrics)}
        if not one.is_served:
            _show(observers, subjects, name, one.stem, made)


def _scored_as_served(
    subjects: Subjects, one: ScoredPhoto, metrics: Sequence[Metric], observers: Sequence[Observer]
) -> Iterator[tuple[str, str, Values]]:
    """Yield the same for both tables at hand of raw; what an enhancer made is scored once for all its checkpoints."""
    known: dict[Enhancer, tuple[dict[str, float], Values]] = {}
    for name, made in subjects.served(one):
        assert made.raw is not None
        enhancer = subjects.restorers[name].enhancer
        if enhancer not in known:
            others = {"degraded": made.degraded, "input": made.input, "target": made.target}
            raw = {image: _against_raw(pixels, made.raw, metrics) for image, pixels in others.items()}
            known[enhancer] = ({} if one.level == UNDEGRADED else scores_of(made.input, made.target, metrics)), raw
        input, shrunk = known[enhancer]
        if one.level != UNDEGRADED:
            yield name, "target", {"input": input, "refined": scores_of(made.refined, made.target, metrics)}
        refined = {"refined": _against_raw(made.refined, made.raw, metrics)}
        yield name, "raw", {image: {**shrunk, **refined}[image] for image in ("degraded", "input", "refined", "target")}
        _show(observers, subjects, name, one.stem, made)


def _against_raw(pixels: Pixels | None, raw: Pixels, metrics: Sequence[Metric]) -> dict[str, float]:
    assert pixels is not None
    return scores_of(resize(pixels, raw.shape[0], raw.shape[1], "area"), raw, metrics)


def _show(observers: Sequence[Observer], subjects: Subjects, name: str, stem: str, made: Made) -> None:
    is_first = name == next(iter(subjects.restorers))
    for observer in observers:
        for called, pixels in {**({"input": made.input} if is_first else {}), name: made.refined}.items():
            observer.see(called, stem, pixels, made.target)


def _comparable(scores: Sequence[PhotoScore]) -> list[PhotoScore]:
    """Keep the metrics that every photo has: one photo too small for MS-SSIM leaves it out for all."""
    every = [values for score in scores for values in score.values.values()]
    names = [name for name in every[0] if all(name in values for values in every)]
    return [replace(s, values={i: {n: v[n] for n in names} for i, v in s.values.items()}) for s in scores]


def tables_of(scores: Scores, pairs: PairsManifest | None) -> tuple[ScoreTable, ...]:
    """Return a table for each reference that there are scores against, the one at the served size first."""
    size = None if pairs is None else pairs.format.size
    alone = {
        "size": f"at the pairs' {f'{size} pixels' if size else 'own size'}",
        "scored": "the network alone, on the pairs' tensors",
    }
    if pairs is not None and size:
        alone["resampling"] = str(pairs.format.resample)
    served = {"size": "at the served size", "scored": "what predict writes, in 8 bits", "resampling": "none"}
    shrunk = {**served, "size": "at raw's own size", "resampling": "input, refined and target shrunk by area averaging"}
    is_clean = all(score.level == UNDEGRADED for score in scores.get("raw", ()))
    over = ("input", None) if is_clean else ("degraded", "input")
    kinds: dict[str, dict[str, Any]] = {
        "target": {"protocol": served},
        "raw": {"against": "raw", "baseline": over[0], "also_over": over[1], "protocol": shrunk},
        "pairs": {"protocol": alone},
    }
    return tuple(ScoreTable(tuple(scores[name]), name=name, **kinds[name]) for name in kinds if scores.get(name))


def protocol_of(photos: Sequence[ScoredPhoto], pairs: PairsManifest | None) -> dict[str, Any]:
    """Return what a number needs beside it to be compared with another."""
    return {
        "pairs": None if pairs is None else pairs.directory.name,
        "level": ", ".join(dict.fromkeys(one.level for one in photos)),
        "space": "sRGB, all three channels",
        "range": "8-bit grey levels as [0, 1], computed in float64",
        "crop": "none",
        "aggregation": "per photo, then the mean over photos",
        "interval": f"percentile bootstrap over photos, 95 %, {N_RESAMPLES} resamples",
        "psnr_ceiling_db": PSNR_CEILING_DB,
        "backend": "jewelenh, held against scikit-image, torchmetrics and published values by its tests",
        "metrics": {metric.name: metric.definition for metric in PIXEL_METRICS},
        "torch": str(torch.__version__),
    }
