"""Score pairs by one protocol: the same numbers at the end of training, in `evaluate`, and in every table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from jewelenh.errors import ImageError, PairsError
from jewelenh.evaluation.photos import read_pixels
from jewelenh.evaluation.scores import N_RESAMPLES, Evaluation, PhotoScore, ScoreTable
from jewelenh.images import Pixels
from jewelenh.metrics import PIXEL_METRICS, PSNR_CEILING_DB, Metric, scores_of
from jewelenh.pairs.contract import PairsManifest, SplitName
from jewelenh.progress import progress

Refine = Callable[[Pixels], Pixels]
"""(H, W, 3) uint8 `input` to uint8 `refined` of the same size."""


class Observer(Protocol):
    """Sees every scored picture beside its target: `input` once, then `refined` under its checkpoint's name."""

    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Take one picture, (H, W, 3) uint8."""


def score_checkpoints(
    refines: Mapping[str, Refine],
    pairs: PairsManifest,
    split: SplitName,
    metrics: Sequence[Metric] = PIXEL_METRICS,
    observers: Sequence[Observer] = (),
) -> list[Evaluation]:
    """Score networks on the same pairs at full size, in 8 bits: what a user's file would hold.

    Raises:
        PairsError: the split is empty.
    """
    chosen = pairs.split(split)
    if not chosen:
        raise PairsError(
            f"There are no pairs to score in {split}.", where=pairs.directory, fix="more photos: source.limit"
        )
    scores: dict[str, list[PhotoScore]] = {name: [] for name in refines}
    with torch.inference_mode(), progress(f"score {split}", len(chosen)) as advance:
        for pair, input, target in read_pixels(pairs, chosen):
            before = scores_of(input, target, metrics)
            _show(observers, "input", pair.stem, input, target)
            for name, refine in refines.items():
                try:
                    refined = refine(input)
                except ImageError as error:
                    raise ImageError(error.what, where=f"{pair.stem} ({name})", fix=error.fix) from error
                values = {"input": before, "refined": scores_of(refined, target, metrics)}
                scores[name].append(PhotoScore(pair.stem, pair.photo, values))
                _show(observers, name, pair.stem, refined, target)
            advance()
    protocol = protocol_of(pairs)
    return [Evaluation(split, (ScoreTable(_comparable(found)),), protocol, name) for name, found in scores.items()]


def _show(observers: Sequence[Observer], name: str, stem: str, image: Pixels, target: Pixels) -> None:
    for observer in observers:
        observer.see(name, stem, image, target)


def _comparable(scores: Sequence[PhotoScore]) -> tuple[PhotoScore, ...]:
    """Keep the metrics that every photo has: one photo too small for MS-SSIM leaves it out for all."""
    every = [values for score in scores for values in score.values.values()]
    names = [name for name in every[0] if all(name in values for values in every)]
    return tuple(
        PhotoScore(s.stem, s.photo, {image: {n: values[n] for n in names} for image, values in s.values.items()})
        for s in scores
    )


def protocol_of(pairs: PairsManifest) -> dict[str, Any]:
    """Return what a number needs beside it to be compared with another."""
    return {
        "pairs": pairs.directory.name,
        "level": pairs.spec.get("level"),
        "space": "sRGB, all three channels",
        "range": "8-bit grey levels as [0, 1], computed in float64",
        "crop": "none",
        "resize": f"pairs of size {pairs.format.size} ({pairs.format.resample})",
        "aggregation": "per photo, then the mean over photos",
        "interval": f"percentile bootstrap over photos, 95 %, {N_RESAMPLES} resamples",
        "psnr_ceiling_db": PSNR_CEILING_DB,
        "backend": "jewelenh, held against scikit-image, torchmetrics and published values by its tests",
        "metrics": {metric.name: metric.definition for metric in PIXEL_METRICS},
        "torch": str(torch.__version__),
    }
