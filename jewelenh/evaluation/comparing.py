"""Several checkpoints on the same photos: differences photo by photo, so that what the photos do cancels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from jewelenh.evaluation.protocol import LOWER_IS_BETTER, Evaluation, bootstrap_interval, mean_by_photo


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

    @property
    def verdict(self) -> str:
        """Return which of the two is better, or that the interval holds 0."""
        if self.low <= 0 <= self.high:
            return "no clear difference"
        second_wins = (self.mean > 0) != (self.metric in LOWER_IS_BETTER)
        return f"{self.second if second_wins else self.first} is better"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "verdict": self.verdict}


def differences(evaluations: Sequence[Evaluation]) -> list[Difference]:
    """Return the paired differences of every two checkpoints in every metric."""
    found = []
    for first, second in combinations(evaluations, 2):
        photos = [score.photo for score in first.photos]
        for metric in first.photos[0].refined:
            pairs = zip(first.photos, second.photos, strict=True)
            apart = mean_by_photo(photos, [b.refined[metric] - a.refined[metric] for a, b in pairs])
            low, high = bootstrap_interval(apart)
            better = apart < 0 if metric in LOWER_IS_BETTER else apart > 0
            found.append(
                Difference(first.name, second.name, metric, float(apart.mean()), low, high, float(np.mean(better)))
            )
    return found


def names_of(files: Sequence[Path]) -> list[str]:
    """Return short names that tell checkpoints apart: what differs in their paths, else 1, 2, 3."""
    if len(files) == 1:
        return ["refined"]
    parts = [[*path.absolute().parts[:-1], path.stem] for path in files]
    depth = max(map(len, parts))
    columns = [[row[index] if index < len(row) else "" for row in parts] for index in range(depth)]
    telling = [index for index, column in enumerate(columns) if len(set(column)) > 1]
    names = ["/".join(row[index] for index in telling if index < len(row)) for row in parts]
    if len(set(names)) < len(names) or not all(names):
        return [f"checkpoint {number}" for number in range(1, len(files) + 1)]
    return [name if name not in {"input", "target", "raw", "degraded"} else f"run {name}" for name in names]
