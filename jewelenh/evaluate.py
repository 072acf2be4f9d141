"""Job: score a checkpoint on pairs, through the same path that restores a user's photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig

from jewelenh.job import job, plain, run_dir

if TYPE_CHECKING:
    from jewelenh.evaluation.protocol import Evaluation
    from jewelenh.pairs.contract import SplitName


@job("evaluate")
def main(cfg: DictConfig) -> float:
    """Run `python -m jewelenh.evaluate`; return the mean gain in PSNR in dB."""
    from jewelenh.errors import ConfigError
    from jewelenh.refinement.runs import find_checkpoint

    values = plain(cfg)
    if values["split"] not in {"train", "val", "test"}:
        raise ConfigError("split cannot be used.", expected="train, val or test", found=values["split"])
    checkpoint = find_checkpoint(values["checkpoint"], Path(values["paths"]["output_dir"]))
    pairs = None if values["pairs_dir"] is None else Path(values["pairs_dir"])
    evaluation, _ = evaluate(checkpoint, run_dir(), split=values["split"], pairs_dir=pairs, n_photos=values["photos"])
    return float(evaluation.summary()["psnr_db"]["gain"])


def evaluate(
    checkpoint: Path, folder: Path, *, split: str = "test", pairs_dir: Path | None = None, n_photos: int = 3
) -> tuple[Evaluation, dict[str, Path]]:
    """Score `checkpoint` on a split of its own pairs or of others; write the report into `folder` and print the table.

    Raises:
        CheckpointError, PairsError: see `refinement.checkpoint` and `pairs.contract`.
    """
    from jewelenh.evaluation.protocol import score_pairs
    from jewelenh.evaluation.report import print_report, write_report
    from jewelenh.pairs.contract import read_pairs
    from jewelenh.refinement.checkpoint import read_checkpoint
    from jewelenh.restorer import Restorer

    read = read_checkpoint(checkpoint)
    restorer = Restorer(read.network(), read.enhancer)
    pairs = read_pairs(pairs_dir or read.pairs_dir)
    evaluation = score_pairs(restorer.refine, pairs, cast("SplitName", split))
    about = {
        "checkpoint": str(checkpoint),
        "level": read.level,
        "epoch": read.epoch,
        "step": read.step,
        "precision": str(restorer.dtype).removeprefix("torch."),
    }
    files = write_report(folder, evaluation, pairs, restorer.refine, about, n_photos)
    title = f"{read.level}: {len(evaluation.photos)} photos of {split}, against target"
    print_report(evaluation, title, {"checkpoint": checkpoint, **files})
    return evaluation, files


if __name__ == "__main__":
    main()
