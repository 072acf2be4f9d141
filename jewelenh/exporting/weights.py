"""The refinement network as plain tensors with what rebuilds it, in one file that holds no code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from jewelenh.errors import CheckpointError
from jewelenh.files import write_atomically
from jewelenh.refinement.checkpoint import Checkpoint, build_network

KIND = "jewelenh-refinement-1"


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
