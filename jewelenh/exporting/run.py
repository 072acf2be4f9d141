"""One checkpoint to a folder of files for other programs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from jewelenh.exporting.onnx import OPSET, Agreement, Refinement, RefinementChain, export_graph
from jewelenh.files import require_writable, write_atomically
from jewelenh.refinement.checkpoint import EXPORTED, Checkpoint
from jewelenh.refinement.weights import write_weights
from jewelenh.reporting.card import FILE_NAME, Exported, model_card

log = logging.getLogger(__name__)

Format = Literal["onnx", "safetensors"]
REFINEMENT_SIZES = ((1, 64, 64), (2, 45, 53), (1, 131, 97), (1, 200, 333))
CHAIN_SIZES = ((1, 32, 32), (2, 37, 29), (1, 61, 48))
"""(batch, height, width) of the checks: a multiple of every stride, and odd ones."""


def export(
    checkpoint: Checkpoint,
    folder: Path,
    format: Format = "onnx",
    *,
    chain: bool = True,
    half: bool = False,
    metrics: Mapping[str, Any] | None = None,
    cache_dir: Path | None = None,
) -> tuple[dict[str, Path], dict[str, Agreement]]:
    """Write weights, graphs and card into `folder`; return the files, and how far each graph is from PyTorch.

    Raises:
        ConfigError: the folder cannot be written.
        CheckpointError: the network cannot be rebuilt, or its graph computes something else.
        WeightsError: the enhancer's weights cannot be had.
    """
    require_writable(folder, "output")
    network = checkpoint.network().eval().requires_grad_(False)
    files = {EXPORTED: "the network's weights; its header says how to rebuild it", "config.json": "the same, to read"}
    about = write_weights(checkpoint, folder / EXPORTED, half=half)
    write_atomically(folder / "config.json", (json.dumps(about, indent=2, sort_keys=True) + "\n").encode())
    agreements: dict[str, Agreement] = {}
    scale = None
    if format == "onnx":
        log.info("refinement.onnx: tracing")
        agreements["refinement.onnx"] = export_graph(
            Refinement(network), folder / "refinement.onnx", "input", ["refined"], REFINEMENT_SIZES, low=-1.0
        )
        files["refinement.onnx"] = f"`input` to `refined`, any size, opset {OPSET}"
        if chain:
            log.info("chain.onnx: tracing")
            whole, scale = _chain(checkpoint, network, cache_dir)
            agreements["chain.onnx"] = export_graph(
                whole, folder / "chain.onnx", "photo", whole.outputs, CHAIN_SIZES, low=0.0
            )
            made = " and ".join(f"`{name}`" for name in whole.outputs)
            files["chain.onnx"] = f"`photo` to {made} at x{scale}, any size, opset {OPSET}"
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    card = model_card(checkpoint, Exported(n_parameters, files, agreements, scale), metrics)
    write_atomically(folder / FILE_NAME, card.encode("utf-8", "replace"))
    return {name: folder / name for name in [*files, FILE_NAME]}, agreements


def _chain(checkpoint: Checkpoint, network: nn.Module, cache_dir: Path | None) -> tuple[RefinementChain, int]:
    from jewelenh.enhancement.network import load_network
    from jewelenh.enhancement.weights import find_weights

    enhancer = load_network(find_weights(checkpoint.enhancer), cache_dir)
    return RefinementChain(enhancer, network, checkpoint.enhancer.strength, checkpoint.geometry).eval(), enhancer.scale
