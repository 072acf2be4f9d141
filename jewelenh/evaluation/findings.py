"""Everything that an evaluation found, before it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jewelenh.evaluation.comparing import Difference
from jewelenh.evaluation.protocol import Evaluation


@dataclass(frozen=True)
class Findings:
    """One evaluation for each checkpoint, all on the same photos."""

    evaluations: Sequence[Evaluation]
    about: Mapping[str, Mapping[str, Any]]
    """By checkpoint: its file, level, network, device and precision; plain values."""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By checkpoint: the configuration it was trained with."""
    differences: Sequence[Difference] = ()
    left_out: Sequence[str] = ()
    """Metrics that could not be had, each with the reason."""
    cautions: Sequence[str] = ()
    """What a reader must know before believing the numbers."""
    crosscheck: Mapping[str, Any] | None = None
    fid: Mapping[str, float] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the evaluation was asked for."""

    @property
    def is_comparison(self) -> bool:
        """Say whether there is more than one checkpoint."""
        return len(self.evaluations) > 1

    @property
    def first(self) -> Evaluation:
        """Return the evaluation of the first checkpoint."""
        return self.evaluations[0]

    @property
    def metrics(self) -> list[str]:
        """Return the names of the metrics that every photo has."""
        return list(self.first.photos[0].input)

    def as_json(self) -> dict[str, Any]:
        """Return plain values: of one checkpoint flat, of several below `checkpoints`, with their differences."""
        extra: dict[str, Any] = {"left_out": list(self.left_out), "cautions": list(self.cautions)}
        if self.crosscheck is not None:
            extra["crosscheck"] = dict(self.crosscheck)
        if self.fid is not None:
            extra["fid"] = dict(self.fid)
        if not self.is_comparison:
            return {**self.first.as_json(), **extra, "about": dict(self.about[self.first.name])}
        runs = [{"name": run.name, **run.as_json(), "about": dict(self.about[run.name])} for run in self.evaluations]
        for run in runs:
            run.pop("protocol"), run.pop("split")
        return {
            "split": self.first.split,
            "protocol": dict(self.first.protocol),
            **extra,
            "differences": [difference.as_json() for difference in self.differences],
            "checkpoints": runs,
        }
