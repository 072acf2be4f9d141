"""What an evaluation has only where it can be had, or where it is asked for: LPIPS, FID, a second opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jewelenh.evaluation.crosscheck import SkimageCheck
from jewelenh.evaluation.distribution import Fid, find_fid
from jewelenh.evaluation.perceptual import find_lpips
from jewelenh.evaluation.protocol import Evaluation, Witness
from jewelenh.evaluation.settings import Settings
from jewelenh.metrics import METRICS, Metric
from jewelenh.pairs.contract import PairsManifest


@dataclass
class Optional:
    """Further metrics and witnesses of a run, and why some of them are missing."""

    metrics: list[Metric] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    """How each of them is computed, for the protocol."""

    def protocol(self, protocol: Mapping[str, Any]) -> dict[str, Any]:
        """Return the protocol with these in it."""
        return {**protocol, "metrics": {**protocol["metrics"], **self.made}}

    def crosscheck(self, evaluations: Sequence[Evaluation]) -> dict[str, Any] | None:
        """Return the second opinion, where one was asked for."""
        found = [witness for witness in self.witnesses if isinstance(witness, SkimageCheck)]
        return found[0].compare(list(evaluations)) if found else None

    def fid(self) -> dict[str, float] | None:
        """Return FID by set, where there were photos enough."""
        found = [witness for witness in self.witnesses if isinstance(witness, Fid)]
        return found[0].distances() if found else None


def find_optional(settings: Settings, pairs: PairsManifest) -> Optional:
    """Look for what the settings and this machine allow.

    Raises:
        WeightsError: a weight file was named and cannot be used.
        ConfigError: scikit-image was asked for and is not installed.
    """
    optional = Optional()
    lpips, told = find_lpips(settings.lpips_weights)
    if lpips is None:
        optional.left_out.append(told)
    else:
        optional.metrics.append(replace(METRICS["lpips"], function=lpips))
        optional.made["lpips"] = told
    fid, told = find_fid(len({pair.photo for pair in pairs.split(settings.split)}), settings.inception_weights)
    if fid is None:
        optional.left_out.append(told)
    else:
        optional.witnesses.append(fid)
        optional.made["fid"] = told
    if settings.against is not None:
        optional.witnesses.append(SkimageCheck())
    return optional
