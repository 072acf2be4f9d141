"""What was measured: images held against a reference photo by photo, and the means, intervals and differences of it.

An evaluation has a table for each reference: `target` at the served size, `raw` at its own, and `pairs`: target at
the size of the pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from jewelenh.metrics import METRICS, Metric
from jewelenh.seeds import generator_for

N_RESAMPLES = 10_000
N_WORST = 5


@dataclass(frozen=True)
class PhotoScore:
    """One photo, or one of its versions."""

    stem: str
    photo: str
    values: Mapping[str, Mapping[str, float]]
    """By image (`input`, `refined`, ...), then by metric."""
    level: str = ""
    """What it was degraded by."""


@dataclass(frozen=True)
class ScoreTable:
    """All photos against one reference; the gain is what the last of the images has over `baseline`."""

    photos: tuple[PhotoScore, ...]
    against: str = "target"
    baseline: str = "input"
    result: str = "refined"
    also_over: str | None = None
    """A second image to count gains over."""
    name: str = "target"
    """In files: `target`, `raw` or `pairs`."""
    protocol: Mapping[str, str] = field(default_factory=dict)
    """`size` at which images are compared, and how they came to it."""

    @property
    def title(self) -> str:
        """Return what was compared, in a few words."""
        return f"against {self.against}" + (f", {self.protocol['size']}" if "size" in self.protocol else "")

    @property
    def images(self) -> list[str]:
        """Return what was held against the reference, in order."""
        return list(self.photos[0].values)

    @property
    def metrics(self) -> list[Metric]:
        """Return the metrics that every photo has."""
        return [METRICS[name] for name in self.photos[0].values[self.baseline]]

    @cached_property
    def by_stem(self) -> dict[str, PhotoScore]:
        """Return the photos by their stems."""
        return {score.stem: score for score in self.photos}

    @property
    def n_photos(self) -> int:
        """Return the number of photos; versions of one count once."""
        return len({score.photo for score in self.photos})

    def gain(self, score: PhotoScore, metric: str = "psnr_db", over: str | None = None) -> float:
        """Return what one photo gained over the baseline, or over another image."""
        return score.values[self.result][metric] - score.values[over or self.baseline][metric]

    def ranked(self, metric: str = "psnr_db") -> list[PhotoScore]:
        """Return the photos from the largest gain to the smallest."""
        return sorted(self.photos, key=lambda score: (-self.gain(score, metric), score.stem))

    def worst(self) -> list[PhotoScore]:
        """Return the five photos with the smallest gain in PSNR, the smallest first."""
        return self.ranked()[::-1][:N_WORST]

    @cached_property
    def summary(self) -> dict[str, dict[str, float]]:
        """Return per metric: the mean of every image, mean gain, its 95 % interval, share of photos improved.

        What was gained over a second image is `over_<image>_gain` and so on.
        """
        return {metric.name: self._summary_of(metric) for metric in self.metrics}

    def _summary_of(self, metric: Metric) -> dict[str, float]:
        summary = {image: self.mean(metric, image) for image in self.images} | self.gains(metric, self.baseline)
        if self.also_over:
            also = self.gains(metric, self.also_over)
            summary |= {f"over_{self.also_over}_{column}": value for column, value in also.items()}
        return summary

    def mean(self, metric: Metric, image: str) -> float:
        """Return the mean of one image over the photos."""
        return float(np.mean([score.values[image][metric.name] for score in self.photos]))

    def gains(self, metric: Metric, over: str) -> dict[str, float]:
        """Return the mean gain over an image, its 95 % interval, the share of photos improved, and the worst."""
        all_gains = [self.gain(score, metric.name, over) for score in self.photos]
        gains = mean_by_photo([score.photo for score in self.photos], all_gains)
        low, high = bootstrap_interval(gains)
        return {
            "gain": float(np.mean(all_gains)),
            "gain_low": low,
            "gain_high": high,
            "share_improved": float(np.mean([metric.is_better(gain) for gain in gains])),
            "worst_gain": float(gains.min() if metric.higher_is_better else gains.max()),
        }

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "summary": self.summary,
            "protocol": dict(self.protocol),
            "worst": [{"stem": score.stem, "gain_psnr_db": self.gain(score)} for score in self.worst()],
            "photos": [{"stem": s.stem, "photo": s.photo, "level": s.level, **s.values} for s in self.photos],
        }


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint on one split: its tables, and how they were made."""

    split: str
    tables: tuple[ScoreTable, ...]
    protocol: Mapping[str, Any]
    name: str = "refined"
    """Of the checkpoint, where several are compared."""
    levels: Mapping[str, Sequence[ScoreTable]] = field(default_factory=dict)
    """By the level that photos were tested at, `none` among them."""

    @property
    def against_target(self) -> ScoreTable:
        """Return the first table, which the headline, the best checkpoint and the pictures go by."""
        return self.tables[0]

    @property
    def numbers(self) -> dict[str, float]:
        """Return the summaries of all tables by names such as `psnr_db_gain`, `raw_psnr_db_gain`."""
        return {
            f"{'' if table is self.tables[0] else f'{table.name}_'}{metric}_{column}": value
            for table in self.tables
            for metric, row in table.summary.items()
            for column, value in row.items()
        }

    @property
    def by_level(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return by level the gains in PSNR: `target_over_input`, `raw_over_degraded`, `raw_over_input`.

        A photo that was not degraded has the last alone: there input is target, so it is what the network costs.
        """
        psnr = METRICS["psnr_db"]
        return {
            level: {
                f"{table.name}_over_{over}": {"refined": table.mean(psnr, "refined"), **table.gains(psnr, over)}
                for table in tables
                for over in (table.baseline, table.also_over)
                if over and table.name != "pairs"
            }
            for level, tables in self.levels.items()
            if any(table.name != "pairs" for table in tables)
        }

    def as_json(self) -> dict[str, Any]:
        """Return plain values: the first table flat, further ones by their names."""
        first = self.against_target.as_json()
        return {
            "split": self.split,
            **first,
            "protocol": {**self.protocol, **first["protocol"]},
            "against": {table.name: table.as_json() for table in self.tables[1:]},
            "levels": self.by_level,
        }


@dataclass(frozen=True)
class Difference:
    """`second` minus `first` in one metric of `refined`, over the same photos."""

    first: str
    second: str
    metric: str
    mean: float
    low: float
    high: float
    """Ends of the 95 % bootstrap interval of the mean."""
    share_better: float
    """Share of the photos on which `second` is better."""
    against: str = "target"

    @property
    def verdict(self) -> str:
        """Return which of the two is better, or that the interval holds 0."""
        found = METRICS[self.metric].verdict(self.low, self.high)
        if found == "unclear":
            return "no clear difference"
        return f"{self.second if found == 'better' else self.first} is better"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "verdict": self.verdict}


def differences(evaluations: Sequence[Evaluation]) -> list[Difference]:
    """Return the differences of every two checkpoints photo by photo, so that what the photos do cancels out."""
    return [
        _difference(first, second, index, metric)
        for first, second in combinations(evaluations, 2)
        for index, table in enumerate(first.tables)
        for metric in table.metrics
    ]


def _difference(first: Evaluation, second: Evaluation, index: int, metric: Metric) -> Difference:
    ours, theirs = first.tables[index], second.tables[index]
    values = [
        b.values[theirs.result][metric.name] - a.values[ours.result][metric.name]
        for a, b in zip(ours.photos, theirs.photos, strict=True)
    ]
    by_photo = mean_by_photo([score.photo for score in ours.photos], values)
    share = float(np.mean([metric.is_better(value) for value in by_photo]))
    interval = bootstrap_interval(by_photo)
    return Difference(first.name, second.name, metric.name, float(by_photo.mean()), *interval, share, ours.name)


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
