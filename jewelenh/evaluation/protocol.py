"""Score pairs by one protocol: the same numbers at the end of training, in `evaluate`, and in every table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from jewelenh.errors import PairsError
from jewelenh.images import Pixels, grey_levels
from jewelenh.metrics import METRICS, PIXEL_METRICS, PSNR_CEILING_DB, Metric, scores_of
from jewelenh.pairs.contract import Pair, PairsManifest, SplitName
from jewelenh.pairs.npy import read_header, view
from jewelenh.progress import progress
from jewelenh.seeds import generator_for

Refine = Callable[[Pixels], Pixels]
"""(H, W, 3) uint8 `input` to uint8 `refined` of the same size."""
LOWER_IS_BETTER = {metric.name for metric in METRICS.values() if not metric.higher_is_better}
N_RESAMPLES = 10_000
N_WORST = 5


class Witness(Protocol):
    """Sees every scored picture beside its target: `input` once, then `refined` under its checkpoint's name."""

    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Take one picture, (H, W, 3) uint8."""


@dataclass(frozen=True)
class PhotoScore:
    """One pair: its metrics for `input` and `refined`, both against `target`."""

    stem: str
    photo: str
    input: Mapping[str, float]
    refined: Mapping[str, float]

    def gain(self, metric: str) -> float:
        """Return refined minus input."""
        return self.refined[metric] - self.input[metric]


@dataclass(frozen=True)
class Evaluation:
    """The scores of a split, one by one, and how they were made."""

    split: str
    photos: tuple[PhotoScore, ...]
    protocol: Mapping[str, Any]
    name: str = "refined"
    """Of the checkpoint, where several are compared."""

    def summary(self) -> dict[str, dict[str, float]]:
        """Return per metric: means of input and refined, mean gain, its 95 % interval, share of photos improved."""
        return {name: self._summary_of(name) for name in self.photos[0].input}

    def _summary_of(self, metric: str) -> dict[str, float]:
        gains = self._gains_by_photo(metric)
        low, high = bootstrap_interval(gains)
        better = gains < 0 if metric in LOWER_IS_BETTER else gains > 0
        return {
            "input": float(np.mean([score.input[metric] for score in self.photos])),
            "refined": float(np.mean([score.refined[metric] for score in self.photos])),
            "gain": float(np.mean([score.gain(metric) for score in self.photos])),
            "gain_low": low,
            "gain_high": high,
            "share_improved": float(np.mean(better)),
            "worst_gain": float(gains.max() if metric in LOWER_IS_BETTER else gains.min()),
        }

    def _gains_by_photo(self, metric: str) -> npt.NDArray[np.float64]:
        return mean_by_photo([s.photo for s in self.photos], [s.gain(metric) for s in self.photos])

    def ranked(self, metric: str = "psnr_db") -> list[PhotoScore]:
        """Return the photos from the largest gain to the smallest."""
        return sorted(self.photos, key=lambda score: (-score.gain(metric), score.stem))

    def worst(self, metric: str = "psnr_db") -> list[PhotoScore]:
        """Return the five photos with the smallest gain, the smallest first."""
        return self.ranked(metric)[::-1][:N_WORST]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        photos = [
            {"stem": s.stem, "photo": s.photo, "input": dict(s.input), "refined": dict(s.refined)} for s in self.photos
        ]
        return {
            "split": self.split,
            "protocol": dict(self.protocol),
            "summary": self.summary(),
            "worst": [{"stem": s.stem, "gain_psnr_db": s.gain("psnr_db")} for s in self.worst()],
            "photos": photos,
        }


def mean_by_photo(photos: Sequence[str], values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return one value per photo: its versions are averaged first, as they are no independent evidence."""
    by_photo: dict[str, list[float]] = {}
    for photo, value in zip(photos, values, strict=True):
        by_photo.setdefault(photo, []).append(value)
    return np.array([np.mean(found) for found in by_photo.values()])


def bootstrap_interval(values: Sequence[float] | np.ndarray[Any, Any], share: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over photos (Efron 1979), 10,000 resamples, fixed seed."""
    data = np.asarray(values, dtype=np.float64)
    picks = generator_for("bootstrap", len(data)).integers(0, len(data), (N_RESAMPLES, len(data)))
    means = data[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def score_pairs(refine: Refine, pairs: PairsManifest, split: SplitName) -> Evaluation:
    """Score every pair of a split at full size, in 8 bits: what a user's file would hold.

    Raises:
        PairsError: the split is empty.
    """
    (evaluation,) = score_checkpoints({"refined": refine}, pairs, split)
    return evaluation


def score_checkpoints(
    refines: Mapping[str, Refine],
    pairs: PairsManifest,
    split: SplitName,
    extra: Sequence[Metric] = (),
    witnesses: Sequence[Witness] = (),
) -> list[Evaluation]:
    """Score several networks on the same pairs, in the order of `refines`; `extra` are metrics besides `PIXEL_METRICS`.

    Raises:
        PairsError: the split is empty.
    """
    chosen = pairs.split(split)
    if not chosen:
        raise PairsError(
            f"There are no pairs to score in {split}.", where=pairs.directory, fix="more photos: source.limit"
        )
    wanted = [*PIXEL_METRICS, *extra]
    scores: dict[str, list[PhotoScore]] = {name: [] for name in refines}
    with torch.inference_mode(), progress(f"score {split}", len(chosen)) as advance:
        for pair, input, target in read_pixels(pairs, chosen):
            before = scores_of(input, target, wanted)
            _show(witnesses, "input", pair.stem, input, target)
            for name, refine in refines.items():
                refined = refine(input)
                scores[name].append(PhotoScore(pair.stem, pair.photo, before, scores_of(refined, target, wanted)))
                _show(witnesses, name, pair.stem, refined, target)
            advance()
    protocol = protocol_of(pairs)
    return [Evaluation(split, _comparable(found), protocol, name) for name, found in scores.items()]


def _show(witnesses: Sequence[Witness], name: str, stem: str, image: Pixels, target: Pixels) -> None:
    for witness in witnesses:
        witness.see(name, stem, image, target)


def _comparable(scores: Sequence[PhotoScore]) -> tuple[PhotoScore, ...]:
    """Keep the metrics that every photo has: one photo too small for MS-SSIM leaves it out for all."""
    names = [name for name in scores[0].input if all(name in score.input for score in scores)]
    return tuple(
        PhotoScore(s.stem, s.photo, {n: s.input[n] for n in names}, {n: s.refined[n] for n in names}) for s in scores
    )


def read_pixels(pairs: PairsManifest, chosen: Sequence[Pair]) -> Iterator[tuple[Pair, Pixels, Pixels]]:
    """Yield each pair with its input and target as (H, W, 3) uint8 RGB."""
    for pair in chosen:
        yield pair, _pixels(pairs, pair.input.path), _pixels(pairs, pair.target.path)


def _pixels(pairs: PairsManifest, path: str) -> Pixels:
    file, layout = pairs.directory / path, pairs.format
    values = np.asarray(view(file, read_header(file)))
    pixels = grey_levels(values, layout.range)
    if layout.layout == "chw":
        pixels = pixels.transpose(1, 2, 0)
    return np.ascontiguousarray(pixels if layout.colours == "rgb" else pixels[..., ::-1])


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
