"""Checkpoints scored on pairs, through the same path that restores a user's photo, with a report of what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jewelenh.config import Hardware
from jewelenh.errors import PairsError
from jewelenh.evaluation.comparing import differences, names_of
from jewelenh.evaluation.findings import Findings
from jewelenh.evaluation.optional import find_optional
from jewelenh.evaluation.overlap import cautions
from jewelenh.evaluation.protocol import Evaluation, Refine, score_checkpoints
from jewelenh.evaluation.report import print_report, write_report
from jewelenh.evaluation.settings import Settings
from jewelenh.evaluation.strips import Thumbnails
from jewelenh.evaluation.words import in_photos
from jewelenh.files import require_writable
from jewelenh.hardware import n_cores
from jewelenh.pairs.contract import PairsManifest, read_pairs
from jewelenh.refinement.checkpoint import Checkpoint, read_checkpoint
from jewelenh.restorer import Restorer


def evaluate(
    checkpoint: Path,
    folder: Path,
    *,
    split: str = "test",
    pairs_dir: Path | None = None,
    n_photos: int = 3,
    hardware: Hardware = Hardware(),
    trust: Sequence[str] = (),
) -> tuple[Evaluation, dict[str, Path]]:
    """Score one checkpoint on a split of its own pairs or of others, as `evaluate_all` does."""
    settings = Settings(split=split, photos=n_photos)  # type: ignore[arg-type]
    findings, files = evaluate_all([checkpoint], folder, settings, pairs_dir=pairs_dir, hardware=hardware, trust=trust)
    return findings.first, files


def evaluate_all(
    checkpoints: Sequence[Path],
    folder: Path,
    settings: Settings,
    *,
    pairs_dir: Path | None = None,
    names: Sequence[str] | None = None,
    hardware: Hardware = Hardware(),
    trust: Sequence[str] = (),
) -> tuple[Findings, dict[str, Path]]:
    """Score checkpoints on the same pairs, write the report into `folder` and print the tables.

    Raises:
        ConfigError: the folder cannot be written.
        CheckpointError, PairsError: see `refinement.checkpoint`, `pairs.contract`; or checkpoints of other pairs.
    """
    require_writable(folder, "report_dir")
    read = dict(
        zip(names or names_of(checkpoints), (read_checkpoint(file, trust) for file in checkpoints), strict=True)
    )
    pairs = _pairs_of(read, pairs_dir)
    restorers = {name: Restorer(one.network(), one.enhancer, hardware=hardware) for name, one in read.items()}
    refines: dict[str, Refine] = {name: restorer.refine for name, restorer in restorers.items()}
    thumbnails = Thumbnails(next(iter(refines)), most=200)
    with _settled():
        findings = _find(read, restorers, refines, pairs, settings, thumbnails)
        files = write_report(folder, findings, pairs, refines, thumbnails.uris, settings.photos)
    level = findings.first.protocol["level"] or pairs.directory.name
    title = f"{level}: {in_photos(len(findings.first.photos))} of {settings.split}, against target"
    shown = {"checkpoint" if len(read) == 1 else name: one.file for name, one in read.items()}
    print_report(findings, title, {**shown, **files})
    return findings, files


def _find(
    read: Mapping[str, Checkpoint],
    restorers: Mapping[str, Restorer],
    refines: Mapping[str, Refine],
    pairs: PairsManifest,
    settings: Settings,
    thumbnails: Any,
) -> Findings:
    optional = find_optional(settings, pairs)
    witnesses = [thumbnails, *optional.witnesses]
    evaluations = score_checkpoints(refines, pairs, settings.split, optional.metrics, witnesses)
    evaluations = [replace(one, protocol=optional.protocol(one.protocol)) for one in evaluations]
    return Findings(
        evaluations,
        about={name: _about(one, restorers[name]) for name, one in read.items()},
        configs={name: one.config for name, one in read.items()},
        differences=differences(evaluations),
        left_out=optional.left_out,
        cautions=cautions({name: one.pairs_dir for name, one in read.items()}, pairs, settings.split),
        crosscheck=optional.crosscheck(evaluations),
        fid=optional.fid(),
        settings={"pairs": str(pairs.directory), **settings.as_plain()},
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


@contextmanager
def _settled() -> Iterator[None]:
    """Compute the same way wherever the evaluation is called from, so that `train` and `evaluate` agree exactly."""
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
