"""Checkpoints scored on the same pairs, through the path that restores a user's photo, and all that was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from jewelenh.config import Hardware, nearest
from jewelenh.degradation.levels import UNDEGRADED, Degradation, Scoring
from jewelenh.errors import ConfigError, PairsError
from jewelenh.evaluation.perceptual import find_lpips, find_set_distances
from jewelenh.evaluation.photos import ScoredPhoto, at_level, leaks, names_photos, sides
from jewelenh.evaluation.scores import Difference, Evaluation, differences
from jewelenh.evaluation.scoring import Observer, Scores, Subjects, protocol_of, score_photos, tables_of
from jewelenh.hardware import n_cores
from jewelenh.metrics import METRICS, PIXEL_METRICS
from jewelenh.pairs.contract import PairsManifest, SplitName, read_pairs
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


def open_checkpoints(
    files: Sequence[Path],
    pairs_dir: Path | None = None,
    names: Sequence[str] | None = None,
    hardware: Hardware = Hardware(),
    trust: Sequence[str] = (),
    data_dir: Path = Path("data"),
) -> Subjects:
    """Read checkpoints and the pairs they are scored on; where these are gone, `data_dir` holds their photos' index.

    Raises:
        ConfigError: there are none, one is named twice, or `names` does not fit.
        CheckpointError, PairsError: see `refinement.checkpoint`, `pairs.contract`; or checkpoints of other pairs.
    """
    _check_names(files, names)
    read = dict(zip(names or names_of(files), (read_checkpoint(file, trust) for file in files), strict=True))
    restorers = {
        name: Restorer(one.network(), one.enhancer, one.geometry, hardware=hardware) for name, one in read.items()
    }
    pairs = _pairs_of(read, pairs_dir)
    return Subjects(read, restorers, pairs, data_dir if pairs is None else pairs.directory.parent.parent)


def evaluate(subjects: Subjects, settings: Scoring, observers: Sequence[Observer] = ()) -> Findings:
    """Score checkpoints on the same photos; `observers` see every picture that is scored at the photos' own level.

    Raises:
        ConfigError: a level that is not known.
        PairsError: the split is empty.
        WeightsError: an invalid weight file was named.
    """
    levels = _levels(settings)
    photos = subjects.photos(settings.split)
    lpips, lpips_made = find_lpips(settings.lpips_weights)
    sets, sets_made = find_set_distances(len({one.photo for one in photos}), settings.inception_weights)
    metrics = [*PIXEL_METRICS, *([lpips] if lpips else [])]
    ordered = sorted(metrics, key=lambda metric: list(METRICS).index(metric.name))
    seen_by = [*observers, *([sets] if sets else [])]
    scores = score_photos(subjects, photos, ordered, seen_by, f"score {settings.split}")
    beside = _at_other_levels(subjects, photos, levels)
    made = {**({"lpips": lpips_made} if lpips else {}), **({"fid": sets_made, "kid": sets_made} if sets else {})}
    protocol = protocol_of(photos, subjects.pairs)
    protocol["metrics"] |= made
    evaluations = [
        _evaluation(settings.split, name, own, beside[name], protocol, subjects.pairs) for name, own in scores.items()
    ]
    read = subjects.checkpoints
    asked = {key.name: getattr(settings, key.name) for key in fields(Scoring) if key.name != "known_levels"}
    return Findings(
        evaluations,
        about={name: _about(one, subjects.restorers[name]) for name, one in read.items()},
        configs={name: one.config for name, one in read.items()},
        differences=differences(evaluations),
        left_out=[note for note, found in ((lpips_made, lpips), (sets_made, sets)) if found is None],
        cautions=_cautions(photos, subjects, settings.split),
        sets=sets.distances() if sets else {},
        settings={key: value if value is None else str(value) for key, value in asked.items()},
    )


def _levels(settings: Scoring) -> dict[str, Degradation | None]:
    """Return the levels beside the photos' own; None is not degraded."""
    known: dict[str, Degradation | None] = {**settings.known_levels, UNDEGRADED: None}
    names = known if settings.levels == "all" else settings.levels
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"levels: there is no level {unknown[0]!r}.{nearest(unknown[0], list(known))}",
            expected=f"all, or some of {', '.join(known)}",
        )
    return {name: known[name] for name in names}


def _at_other_levels(
    subjects: Subjects, photos: Sequence[ScoredPhoto], levels: Mapping[str, Degradation | None]
) -> dict[str, dict[str, Scores]]:
    """Return by checkpoint and level what the same photos score in PSNR at the levels that they have not already."""
    found: dict[str, dict[str, Scores]] = {name: {} for name in subjects.restorers}
    seed = next(iter(subjects.checkpoints.values())).config.get("seed", 42)
    for level in [level for level in levels if level not in {one.level for one in photos}]:
        others = at_level(photos, level, levels[level], seed)
        for name, scores in score_photos(subjects, others, [METRICS["psnr_db"]], label=f"score {level}").items():
            found[name][level] = scores
    return found


def _evaluation(
    split: str,
    name: str,
    own: Scores,
    beside: Mapping[str, Scores],
    protocol: Mapping[str, Any],
    pairs: PairsManifest | None,
) -> Evaluation:
    """Return the tables over all photos that were degraded, and those of each level by itself."""
    levels = dict.fromkeys(score.level for rows in own.values() for score in rows)
    by_level = {**{level: _only(own, [level]) for level in levels}, **beside}
    tables = tables_of(_only(own, levels.keys() - {UNDEGRADED}), pairs)
    if not tables:
        raise PairsError(f"There are no degraded photos to score in {split}.", where=pairs and pairs.directory)
    return Evaluation(split, tables, protocol, name, {at: tables_of(rows, pairs) for at, rows in by_level.items()})


def _only(scores: Scores, levels: Collection[str]) -> Scores:
    return {table: [score for score in rows if score.level in levels] for table, rows in scores.items()}


def _cautions(photos: Sequence[ScoredPhoto], subjects: Subjects, split: SplitName) -> list[str]:
    """Return what a reader must know of the photos."""
    levels = dict.fromkeys(one.level for one in subjects.checkpoints.values())
    found: list[str] = []
    if len(levels) > 1:
        found.append(f"These networks were trained at different levels, {', '.join(levels)}: the tables are of one.")
    if subjects.pairs is None:
        return [
            *found,
            "The pairs are gone: these are the photos that the configuration names, split again as it says.",
        ]
    n_gone = sum(not one.is_served for one in photos)
    is_imported = str(subjects.pairs.spec.get("upstream", {}).get("raw", "")).startswith("imported")
    why = "were imported without them" if is_imported else "have lost them"
    if n_gone:
        found.append(
            f"{n_gone} of {len(photos)} pairs have no raw and degraded photos ({why}): there is no table against raw"
            " for them, and they are scored at the pairs' size alone."
        )
    return [*found, *leaks({name: one.pairs_dir for name, one in subjects.checkpoints.items()}, subjects.pairs, split)]


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


def _pairs_of(read: Mapping[str, Checkpoint], pairs_dir: Path | None) -> PairsManifest | None:
    """Return the pairs whose photos all checkpoints are scored on, None where they are gone and can be had again.

    Raises:
        PairsError: theirs have different photos to test on, or are gone for good.
    """
    if pairs_dir is not None:
        return read_pairs(pairs_dir)
    first = next(iter(read.values()))
    trained_on = {name: one.pairs_dir for name, one in read.items()}
    others = [path for path in trained_on.values() if path.name != first.pairs_dir.name]
    if any(sides(path) != sides(first.pairs_dir) for path in others):
        raise PairsError(
            "These checkpoints were trained on different pairs: on which photos should they meet?",
            found="\n            ".join(f"{name}: {path}" for name, path in trained_on.items()),
            fix="pairs_dir=<one of these, or others>; photos that one of them was trained on are no test of it",
        )
    try:
        return read_pairs(first.pairs_dir)
    except PairsError as error:
        if names_photos(first.config):
            return None
        what = "The pairs of its training are not here, and the checkpoint does not name their photos."
        fix = "pairs_dir=<pairs to score it on>; python -m jewelenh.pair makes some"
        raise PairsError(what, where=first.pairs_dir, fix=fix) from error


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
