"""Where trained weights are: the ready ones of this package, a run, a checkpoint, an exported file or folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from jewelenh.errors import CheckpointError
from jewelenh.files import write_atomically
from jewelenh.refinement.checkpoint import EXPORTED, KEY, VERSION, Checkpoint, read_checkpoint
from jewelenh.runs import BEST, CHECKPOINTS, READY, STATE, read_run

log = logging.getLogger(__name__)

SHARED = ("enhancer", "degradation", "pairs", "seed")
"""What an exported file tells of its training's configuration, beside a source that needs no path: nobody's photos."""


def find_checkpoint(wanted: str | Path, output_dir: Path, name: str = BEST) -> Path:
    """Return the file of trained weights that somebody asks for.

    Args:
        wanted: `ready`; `latest`, the checkpoint `name` of the run below `output_dir` that was used last, or the ready
            weights where there is none; a run's directory; a .ckpt or .safetensors file; or a folder that
            `jewelenh.export` or the Hugging Face Hub keeps one in.
        output_dir: of all runs. A run that was only a trial (`debug=...`) is never the latest.
        name: of a run's checkpoint.

    Raises:
        CheckpointError: there is none, with the newest that exist.
    """
    newest = _newest(output_dir, name)
    if str(wanted) == "latest" and newest:
        return newest[0]
    if str(wanted) in {"latest", "ready"}:
        if str(wanted) == "latest":
            log.info("nothing is trained in %s yet: the ready weights", output_dir)
        return READY
    path = Path(wanted).expanduser()
    for candidate in (path, path / CHECKPOINTS / name, path / name, path / EXPORTED):
        if candidate.is_file():
            return candidate
    found = "".join(f"\n            {file}" for file in newest[:5])
    raise CheckpointError(
        "There is no such checkpoint.",
        where=path,
        expected="ready, latest, a run's directory, a .ckpt or .safetensors file, or a folder with model.safetensors",
        fix=f"one of these:{found}" if found else "checkpoint=ready, or train one: python -m jewelenh.train",
    )


def _newest(output_dir: Path, name: str) -> list[Path]:
    """Return the checkpoints of all runs, that of the run which was made, or found finished, last first."""
    files = [path for path in output_dir.glob(f"**/{CHECKPOINTS}/{name}") if path.is_file() and not _is_trial(path)]
    return sorted(files, key=_used_ns, reverse=True)


def _is_trial(file: Path) -> bool:
    overrides = read_run(file.parent.parent).get("overrides", ())
    return any(str(override).lstrip("+").startswith("debug=") for override in overrides)


def _used_ns(file: Path) -> int:
    state = file.parent.parent / STATE
    return max(path.stat().st_mtime_ns for path in (file, state) if path.is_file())


def write_weights(checkpoint: Checkpoint, file: Path, *, half: bool = False) -> dict[str, Any]:
    """Write a `.safetensors` file that `read_checkpoint` reads, and return what its header tells.

    `half` stores float16, half the bytes. Neither paths nor photos of the training are told.
    """
    from safetensors.torch import save

    about: dict[str, Any] = {
        "version": VERSION,
        "network": dict(checkpoint.node),
        "geometry": {"placement": checkpoint.geometry.placement, "work_scale": checkpoint.geometry.work_scale},
        "pairs_dir": checkpoint.pairs_dir.name,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "config": {key: checkpoint.config[key] for key in SHARED if key in checkpoint.config},
    }
    source = dict(checkpoint.config.get("source") or {})
    if source.get("kind") in {"sample", "kaggle"}:
        about["config"]["source"] = {**source, "root": None}
    if checkpoint.enhancer.weights is not None:
        enhancer = {**checkpoint.config["enhancer"], "weights": checkpoint.enhancer.weights.name}
        about["config"] = {**about["config"], "enhancer": enhancer}
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.weights.items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    write_atomically(file, save(tensors, {KEY: json.dumps(about, sort_keys=True)}))
    return about


def start_network(network: nn.Module, node: Mapping[str, Any], placement: str, start: str, output_dir: Path) -> None:
    """Put trained weights into a new network, as `model.start` says: `ready`, `scratch`, or those of a checkpoint.

    Another network than that of the ready weights, or one that stands elsewhere, starts from scratch, and that is said.

    Raises:
        CheckpointError: no checkpoint, or one of another network.
    """
    if start == "scratch":
        return
    file = find_checkpoint(start, output_dir)
    read = read_checkpoint(file)
    if start == "ready" and ({**read.node} != {**node} or read.geometry.placement != placement):
        log.info("starting from scratch: the ready weights are of another network (model.start=scratch says so too)")
        return
    try:
        network.load_state_dict(dict(read.weights))
    except RuntimeError as error:
        raise CheckpointError(
            "The network cannot start from this checkpoint.",
            where=file,
            expected=type(network).__name__,
            found=f"{read.network_class.rsplit('.', 1)[-1]} {read.settings}: {str(error).splitlines()[-1].strip()}",
            fix="model.network with the settings that the checkpoint was trained with, or model.start=scratch",
        ) from error
    log.info("starting from %s (model.start=scratch begins anew)", "the ready weights" if start == "ready" else file)
