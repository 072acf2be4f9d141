"""Score pairs by one protocol: the same numbers at the end of training, in `evaluate`, and in every table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchmetrics

from jewelenh.errors import PairsError
from jewelenh.evaluation import metrics
from jewelenh.images import Pixels, grey_levels, to_unit
from jewelenh.pairs.contract import Pair, PairsManifest, SplitName
from jewelenh.pairs.npy import read_header, view
from jewelenh.progress import progress
from jewelenh.seeds import generator_for

Refine = Callable[[Pixels], Pixels]
"""(H, W, 3) uint8 `input` to uint8 `refined` of the same size."""
METRICS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "psnr_db": metrics.psnr_db,
    "ssim": metrics.ssim,
    "ms_ssim": metrics.ms_ssim,
    "ciede2000": metrics.ciede2000,
}
LOWER_IS_BETTER = {"ciede2000"}
N_RESAMPLES = 10_000


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

    def _gains_by_photo(self, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Versions of one photo are averaged first: they are no independent evidence."""
        by_photo: dict[str, list[float]] = {}
        for score in self.photos:
            by_photo.setdefault(score.photo, []).append(score.gain(metric))
        return np.array([np.mean(gains) for gains in by_photo.values()])

    def ranked(self, metric: str = "psnr_db") -> list[PhotoScore]:
        """Return the photos from the largest gain to the smallest."""
        return sorted(self.photos, key=lambda score: (-score.gain(metric), score.stem))

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        photos = [
            {"stem": s.stem, "photo": s.photo, "input": dict(s.input), "refined": dict(s.refined)} for s in self.photos
        ]
        return {"split": self.split, "protocol": dict(self.protocol), "summary": self.summary(), "photos": photos}


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
    chosen = pairs.split(split)
    if not chosen:
        raise PairsError(
            f"There are no pairs to score in {split}.", where=pairs.directory, fix="more photos: source.limit"
        )
    scores = []
    with torch.inference_mode(), progress(f"score {split}", len(chosen)) as advance:
        for pair, input, target in read_pixels(pairs, chosen):
            scores.append(PhotoScore(pair.stem, pair.photo, _scores(input, target), _scores(refine(input), target)))
            advance()
    return Evaluation(split, tuple(scores), protocol_of(pairs))


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


def _scores(image: Pixels, target: Pixels) -> dict[str, float]:
    first, second = as_batch(image), as_batch(target)
    small = min(image.shape[:2]) < metrics.MS_SSIM_MIN_SIDE
    names = [name for name in METRICS if not (small and name == "ms_ssim")]
    return {name: float(METRICS[name](first, second)[0]) for name in names}


def as_batch(pixels: Pixels) -> torch.Tensor:
    """Return (H, W, 3) uint8 as (1, 3, H, W) float in [0, 1]."""
    return to_unit(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None])


def protocol_of(pairs: PairsManifest) -> dict[str, Any]:
    """Return what a number needs beside it to be compared with another."""
    return {
        "pairs": pairs.directory.name,
        "space": "sRGB, all three channels",
        "range": "8-bit grey levels as [0, 1]",
        "crop": "none",
        "resize": f"pairs of size {pairs.format.size} ({pairs.format.resample})",
        "aggregation": "per photo, then the mean over photos",
        "interval": f"percentile bootstrap over photos, 95 %, {N_RESAMPLES} resamples",
        "psnr_ceiling_db": metrics.PSNR_CEILING_DB,
        "backend": f"torchmetrics {torchmetrics.__version__} for PSNR, SSIM, MS-SSIM; own CIEDE2000",
        "torch": str(torch.__version__),
    }
