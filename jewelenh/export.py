"""Job: a checkpoint for other programs, as ONNX graphs or plain weights, with a model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job, run_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jewelenh.exporting.onnx import Agreement
    from jewelenh.schemas import Export


@job("export")
def main(config: Export) -> None:
    """Run `python -m jewelenh.export`."""
    from jewelenh.exporting.onnx import require_packages
    from jewelenh.exporting.run import export
    from jewelenh.refinement.checkpoint import read_checkpoint
    from jewelenh.refinement.weights import find_checkpoint
    from jewelenh.reporting.card import read_metrics

    if config.format == "onnx":
        require_packages()
    checkpoint = read_checkpoint(find_checkpoint(config.checkpoint, config.paths.output_dir), config.trust)
    metrics = read_metrics(checkpoint, None if config.metrics is None else config.metrics.expanduser())
    folder = run_dir() if config.output is None else config.output.expanduser()
    files, agreements = export(
        checkpoint,
        folder,
        config.format,
        chain=config.chain,
        half=config.half,
        metrics=metrics,
        cache_dir=config.paths.cache_dir,
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
