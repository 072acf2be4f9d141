"""One checkpoint to a folder of files for other programs: plain weights, ONNX graphs, a model card."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.exporting.onnx import OPSET, Agreement, Refinement, RefinementChain, export_graph, require_packages
from jewelenh.files import require_writable, write_atomically
from jewelenh.refinement.checkpoint import Checkpoint, build_network
from jewelenh.reporting.card import FILE_NAME, Exported, model_card

log = logging.getLogger(__name__)

KIND = "jewelenh-refinement-1"
Format = Literal["onnx", "safetensors"]
REFINEMENT_SIZES = ((1, 64, 64), (2, 45, 53), (1, 131, 97), (1, 200, 333))
CHAIN_SIZES = ((1, 32, 32), (2, 37, 29), (1, 61, 48))
"""(batch, height, width) of the checks: a multiple of every stride, and odd ones."""


def require_format(format: str, chain: bool) -> Format:
    """Return the format; raise ConfigError for one that is not written, or whose packages are missing."""
    if format == "onnx":
        require_packages()
        return "onnx"
    if format != "safetensors":
        raise ConfigError("invalid format.", expected="onnx or safetensors", found=format)
    if chain:
        log.info("chain=true concerns format=onnx alone: the enhancer's weights are a file already")
    return "safetensors"


def export(
    checkpoint: Checkpoint,
    folder: Path,
    format: Format = "onnx",
    *,
    chain: bool = True,
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
    files = {"refinement.safetensors": "the network's weights; its header says how to rebuild it"}
    write_weights(checkpoint, folder / "refinement.safetensors")
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
            outputs = ["enhanced", "refined"]
            agreements["chain.onnx"] = export_graph(
                whole, folder / "chain.onnx", "photo", outputs, CHAIN_SIZES, low=0.0
            )
            files["chain.onnx"] = f"`photo` to `enhanced` and `refined` at x{scale}, any size, opset {OPSET}"
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    card = model_card(checkpoint, Exported(n_parameters, files, agreements, scale), metrics)
    write_atomically(folder / FILE_NAME, card.encode("utf-8", "replace"))
    return {name: folder / name for name in [*files, FILE_NAME]}, agreements


def _chain(checkpoint: Checkpoint, network: nn.Module, cache_dir: Path | None) -> tuple[RefinementChain, int]:
    from jewelenh.enhancement.network import load_network
    from jewelenh.enhancement.weights import find_weights

    enhancer = load_network(find_weights(checkpoint.enhancer), cache_dir)
    return RefinementChain(enhancer, network, checkpoint.enhancer.strength).eval(), enhancer.scale


def write_weights(checkpoint: Checkpoint, file: Path) -> None:
    """Write a `.safetensors` file whose header names the network's class and settings."""
    from safetensors.torch import save

    about = {"kind": KIND, "class": checkpoint.network_class, "settings": json.dumps(dict(checkpoint.settings))}
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.weights.items()}
    write_atomically(file, save(tensors, {**about, "level": checkpoint.level}))


def load_network(file: str | Path, trust: Sequence[str] = ()) -> nn.Module:
    """Rebuild the network from a file of `write_weights`, ready for inference; `trust` as in `read_checkpoint`.

    Raises:
        CheckpointError: no such file, damaged, or of something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as content:
            about = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError("The exported weights cannot be read.", where=file, found=error) from error
    if about.get("kind") != KIND:
        raise CheckpointError(
            "The file was not written by jewelenh.export.", where=file, expected=KIND, found=about.get("kind")
        )
    network = build_network({"_target_": about["class"], **json.loads(about["settings"])}, file, trust)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError("The weights do not fit their network.", where=file, found=error) from error
    return network.eval()
