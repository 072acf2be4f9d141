"""Checkpoints scored on the same pairs, through the path that restores a user's photo, and all that was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from jewelenh.config import Hardware, Scoring
from jewelenh.errors import ConfigError, PairsError
from jewelenh.evaluation.perceptual import find_lpips, find_set_distances
from jewelenh.evaluation.photos import leaks
from jewelenh.evaluation.scores import Difference, Evaluation, differences
from jewelenh.evaluation.scoring import Observer, Refine, score_checkpoints
from jewelenh.hardware import n_cores
from jewelenh.metrics import METRICS, PIXEL_METRICS
from jewelenh.pairs.contract import PairsManifest, read_pairs
from jewelenh.refinement.checkpoint import Checkpoint, read_checkpoint
from jewelenh.restoration.restorer import Restorer

IMAGES = ("raw", "degraded", "input", "target")


@dataclass(frozen=True)
class Findings:
    """One evaluation for each checkpoint, all on the same photos, before anything is shown."""

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
    sets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """FID and KID of whole sets, by metric and name."""
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

    def as_json(self) -> dict[str, Any]:
        """Return plain values: of one checkpoint flat, of several below `checkpoints`, with their differences."""
        extra = {"left_out": list(self.left_out), "cautions": list(self.cautions), **self.sets}
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


@dataclass(frozen=True)
class Subjects:
    """What is evaluated: checkpoints by name, ready to refine, and the pairs they meet on."""

    checkpoints: Mapping[str, Checkpoint]
    restorers: Mapping[str, Restorer]
    pairs: PairsManifest

    @property
    def refines(self) -> dict[str, Refine]:
        """Return by name what turns an input into a refined picture."""
        return {name: restorer.refine for name, restorer in self.restorers.items()}


def open_checkpoints(
    files: Sequence[Path],
    pairs_dir: Path | None = None,
    names: Sequence[str] | None = None,
    hardware: Hardware = Hardware(),
    trust: Sequence[str] = (),
) -> Subjects:
    """Read checkpoints and the pairs they are scored on.

    Raises:
        ConfigError: there are none, one is named twice, or `names` does not fit.
        CheckpointError, PairsError: see `refinement.checkpoint`, `pairs.contract`; or checkpoints of other pairs.
    """
    _check_names(files, names)
    read = dict(zip(names or names_of(files), (read_checkpoint(file, trust) for file in files), strict=True))
    restorers = {
        name: Restorer(one.network(), one.enhancer, one.geometry, hardware=hardware) for name, one in read.items()
    }
    return Subjects(read, restorers, _pairs_of(read, pairs_dir))


def evaluate(subjects: Subjects, settings: Scoring, observers: Sequence[Observer] = ()) -> Findings:
    """Score checkpoints on the same pairs; `observers` see every picture that is scored.

    Raises:
        PairsError: the split is empty.
        WeightsError: an invalid weight file was named.
    """
    lpips, lpips_made = find_lpips(settings.lpips_weights)
    n_photos = len({pair.photo for pair in subjects.pairs.split(settings.split)})
    sets, sets_made = find_set_distances(n_photos, settings.inception_weights)
    metrics = [*PIXEL_METRICS, *([lpips] if lpips else [])]
    ordered = sorted(metrics, key=lambda metric: list(METRICS).index(metric.name))
    seen_by = [*observers, *([sets] if sets else [])]
    evaluations = score_checkpoints(subjects.refines, subjects.pairs, settings.split, ordered, seen_by)
    made = {**({"lpips": lpips_made} if lpips else {}), **({"fid": sets_made, "kid": sets_made} if sets else {})}
    definitions = {**evaluations[0].protocol["metrics"], **made}
    evaluations = [replace(one, protocol={**one.protocol, "metrics": definitions}) for one in evaluations]
    asked = {"pairs": subjects.pairs.directory, **{key.name: getattr(settings, key.name) for key in fields(Scoring)}}
    read = subjects.checkpoints
    return Findings(
        evaluations,
        about={name: _about(one, subjects.restorers[name]) for name, one in read.items()},
        configs={name: one.config for name, one in read.items()},
        differences=differences(evaluations),
        left_out=[note for note, found in ((lpips_made, lpips), (sets_made, sets)) if found is None],
        cautions=leaks({name: one.pairs_dir for name, one in read.items()}, subjects.pairs, settings.split),
        sets=sets.distances() if sets else {},
        settings={key: value if value is None else str(value) for key, value in asked.items()},
    )


def _about(checkpoint: Checkpoint, restorer: Restorer) -> dict[str, Any]:
    return {
        "checkpoint": str(checkpoint.file),
        "level": checkpoint.level,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "network": checkpoint.network_class.rpartition(".")[2],
        "parameters": sum(parameter.numel() for parameter in restorer.network.parameters()),
        "trained on": checkpoint.pairs_dir.name,
        "device": str(restorer.device),
        "precision": str(restorer.dtype).removeprefix("torch."),
    }


def _pairs_of(read: Mapping[str, Checkpoint], pairs_dir: Path | None) -> PairsManifest:
    """Return the pairs that all checkpoints are scored on; raise PairsError where theirs are not the same."""
    if pairs_dir is not None:
        return read_pairs(pairs_dir)
    trained_on = {name: one.pairs_dir for name, one in read.items()}
    if len({path.name for path in trained_on.values()}) > 1:
        raise PairsError(
            "These checkpoints were trained on different pairs: on which photos should they meet?",
            found="\n            ".join(f"{name}: {path}" for name, path in trained_on.items()),
            fix="pairs_dir=<one of these, or others>; photos that one of them was trained on are no test of it",
        )
    return read_pairs(next(iter(trained_on.values())))


def _check_names(files: Sequence[Path], names: Sequence[str] | None) -> None:
    if not files:
        raise ConfigError("checkpoint is empty.", expected="latest, a run directory, a .ckpt file, or a list of them")
    twice = sorted({str(file) for file in files if [other.resolve() for other in files].count(file.resolve()) > 1})
    if twice:
        raise ConfigError("A checkpoint is named twice.", found=", ".join(twice))
    if names is None:
        return
    if len(names) != len(files) or len(set(names)) < len(names):
        raise ConfigError(
            "names does not fit checkpoint.", expected=f"{len(files)} different names", found=", ".join(map(str, names))
        )
    taken = set(IMAGES) & set(names)
    if taken:
        raise ConfigError("A checkpoint cannot have the name of a picture.", found=", ".join(sorted(taken)))


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
    return [name if name not in IMAGES else f"run {name}" for name in names]


@contextmanager
def same_everywhere() -> Iterator[None]:
    """Set threads and backends to the same wherever an evaluation runs: `train` and `evaluate` agree exactly."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    benchmark, deterministic = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.set_num_threads(n_cores())
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, deterministic
