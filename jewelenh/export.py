"""Job: a checkpoint for other programs, as ONNX graphs or plain weights, with a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from jewelenh.composed import plain, run_dir
from jewelenh.job import job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jewelenh.exporting.onnx import Agreement


@job("export")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.export`."""
    from jewelenh.exporting.card import read_metrics
    from jewelenh.exporting.run import export, require_format
    from jewelenh.refinement.checkpoint import read_checkpoint
    from jewelenh.refinement.runs import find_checkpoint

    values = plain(cfg)
    format = require_format(values["format"], values["chain"])
    file = find_checkpoint(values["checkpoint"], Path(values["paths"]["output_dir"]))
    checkpoint = read_checkpoint(file, values["trust"])
    metrics = read_metrics(checkpoint, None if values["metrics"] is None else Path(values["metrics"]).expanduser())
    folder = run_dir() if values["output"] is None else Path(values["output"]).expanduser()
    cache_dir = values["paths"]["cache_dir"]
    files, agreements = export(
        checkpoint,
        folder,
        format,
        chain=values["chain"],
        metrics=metrics,
        cache_dir=None if cache_dir is None else Path(cache_dir),
    )
    _say(files, agreements)


def _say(files: Mapping[str, Path], agreements: Mapping[str, Agreement]) -> None:
    for name, agreement in agreements.items():
        sizes = ", ".join(f"{height}x{width}" for _, height, width in agreement.sizes)
        apart = f"{agreement.largest:.1e}, or {agreement.grey_levels:.1e} grey levels of 8 bits"
        print(f"{name}: largest difference from PyTorch {apart} (at {sizes})")  # noqa: T201
    for name, path in files.items():
        print(f"  {name:<23} {path}")  # noqa: T201


if __name__ == "__main__":
    main()
