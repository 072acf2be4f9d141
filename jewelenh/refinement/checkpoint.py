"""What a checkpoint tells besides its weights: plain values, enough to rebuild the network without running a pickle."""

from __future__ import annotations

import importlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jewelenh.config import Enhancer, Hardware, parse
from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.refinement.input_statistics import describe_training

KEY = "jewelenh"
VERSION = 1
PREFIX = "network."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of `jewelenh.train`, read with `weights_only=True`."""

    file: Path
    network_class: str
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    enhancer: Enhancer
    level: str
    pairs_dir: Path
    epoch: int
    step: int
    config: Mapping[str, Any]
    trained_on: Mapping[str, Any] | None = None
    """What the training pictures look like (`refinement.input_statistics`); None where the checkpoint does not say."""

    def network(self) -> nn.Module:
        """Rebuild the network with its weights; raise CheckpointError where they do not fit."""
        network = build_network(self.network_class, self.settings, self.file)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise CheckpointError(
                "The weights do not fit the network that the checkpoint names.",
                where=self.file,
                found=str(error).splitlines()[-1].strip(),
            ) from error
        return network


def describe(network: nn.Module, config: Mapping[str, Any], pairs_dir: Path) -> dict[str, Any]:
    """Return what a checkpoint carries under `KEY`; `config` is the run's resolved configuration in plain values."""
    kind = type(network)
    return {
        "version": VERSION,
        "network": {"class": f"{kind.__module__}.{kind.__qualname__}", "settings": dict(network.settings)},  # type: ignore[arg-type]
        "pairs_dir": str(pairs_dir),
        "trained_on": describe_training(pairs_dir),
        "config": {key: value for key, value in config.items() if key != "hardware"},
    }


def check_same_run(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Hold what a checkpoint says of itself against the run that wants to go on from it.

    Raises:
        CheckpointError: another network or other pairs, with every difference.
    """
    if not now:  # a module trained without saying what it is, by itself
        return
    if then is None:
        raise CheckpointError("The run cannot go on from this checkpoint.", found=f"no entry {KEY!r} in it")
    old, new = ({**side["network"]["settings"], "network": side["network"]["class"]} for side in (then, now))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    different = [f"{name}: {old.get(name)} in the checkpoint, {new.get(name)} now" for name in names]
    before, here = Path(then["pairs_dir"]).name, Path(now["pairs_dir"]).name
    if before != here:
        different.append(f"pairs: {before} in the checkpoint, {here} now")
    if different:
        raise CheckpointError(
            "The run cannot go on from this checkpoint: it belongs to another one.",
            found="\n            ".join(different),
            fix="give the settings that it was trained with, or leave out resume= to begin anew",
        )


def read_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: missing, truncated, unsafe, not ours, or of another version.
    """
    if not file.is_file():
        raise CheckpointError("There is no such checkpoint.", where=file, fix="python -m jewelenh.train makes one")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else repr(error)
        raise CheckpointError("The file is no readable checkpoint.", where=file, found=reason) from error
    about = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(about, dict):
        raise CheckpointError("The file was not written by jewelenh.train.", where=file, expected=f"an entry {KEY!r}")
    if about.get("version") != VERSION:
        raise CheckpointError(
            "A checkpoint of another version.", where=file, expected=VERSION, found=about.get("version")
        )
    return _from_content(file, content, about)


def _from_content(file: Path, content: Mapping[str, Any], about: Mapping[str, Any]) -> Checkpoint:
    try:
        weights = {k.removeprefix(PREFIX): v for k, v in content["state_dict"].items() if k.startswith(PREFIX)}
        config = about["config"]
        return Checkpoint(
            file=file,
            network_class=about["network"]["class"],
            settings=about["network"]["settings"],
            weights=weights,
            enhancer=_enhancer(config["enhancer"]),
            level=config["degradation"]["name"],
            pairs_dir=Path(about["pairs_dir"]),
            epoch=content["epoch"],
            step=content["global_step"],
            config=config,
            trained_on=about.get("trained_on"),
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError("The checkpoint is incomplete.", where=file, found=repr(error)) from error


def _enhancer(values: Mapping[str, Any]) -> Enhancer:
    """Read the enhancer of a checkpoint; older ones say how it was run as well, which is no part of it."""
    hardware = {field.name for field in fields(Hardware)}
    return parse(Enhancer, {key: value for key, value in values.items() if key not in hardware}, "enhancer")


def build_network(name: str, settings: Mapping[str, Any], where: object) -> nn.Module:
    """Return the network class `package.module.Class` built from plain settings; only `nn.Module`s are called."""
    module, _, kind = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError("The checkpoint's network cannot be found.", where=where, found=name) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise CheckpointError("The checkpoint names something that is no network.", where=where, found=name)
    try:
        return found(**settings)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            "The network does not take the checkpoint's settings.", where=where, found=error
        ) from error
