"""What a checkpoint tells besides its weights: plain values, enough to rebuild the network without running a pickle."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jewelenh.config import Enhancer, Hardware, Placement, parse
from jewelenh.errors import CheckpointError, ConfigError, JewelenhError
from jewelenh.pairs.contract import read_pairs
from jewelenh.plugins import build, find_target

log = logging.getLogger(__name__)

KEY = "jewelenh"
KEYS = (KEY, "jewelenh_esrgan")
"""Of what a checkpoint says of itself: the chain's network, or a super-resolution network."""
VERSION = 2
PREFIX = "network."
EXPORTED = "model.safetensors"
"""Weights in a folder of `jewelenh.export`, as the Hugging Face Hub names them."""
TRUSTED = ("jewelenh", "torch")
"""Packages whose networks a checkpoint may name: importing any other module runs its code."""
FORMER_SIDE_PX = 1048
"""Of enhanced photos of 262 pixels, the study's: what older checkpoints were trained on, unless their pairs tell."""
STUDY = {"skip_connections": False, "identity_start": False, "bounded": True, "normalise": True}
"""Options of RefinementCNN in checkpoints of version 1, at the values that its network still has."""


@dataclass(frozen=True)
class Geometry:
    """Where the network stands and at which size it works: nothing else turns its weights into the same picture."""

    placement: Placement = "after"
    work_scale: float = 1.0
    """After the enhancer: sides of what the network sees, relative to the enhancer's picture."""


AFTER = Geometry()
"""After the enhancer, at its own size."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of `jewelenh.train`, read with `weights_only=True`."""

    file: Path
    node: Mapping[str, Any]
    """What the configuration called `model.network`: `_target_` and its arguments."""
    weights: Mapping[str, Tensor]
    enhancer: Enhancer
    level: str
    pairs_dir: Path
    epoch: int
    step: int
    config: Mapping[str, Any]
    geometry: Geometry = Geometry()
    trust: Sequence[str] = ()
    """Packages beside `TRUSTED` from which the network may come."""

    @property
    def network_class(self) -> str:
        """Return the network's `package.module.Class`."""
        return str(self.node["_target_"])

    @property
    def settings(self) -> dict[str, Any]:
        """Return the arguments that the network is built with."""
        return {name: value for name, value in self.node.items() if name != "_target_"}

    def network(self) -> nn.Module:
        """Rebuild the network with its weights; raise CheckpointError where it is not trusted, or they do not fit."""
        network = build_network(self.node, self.file, self.trust)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise CheckpointError(
                "The weights do not fit the network that the checkpoint names.",
                where=self.file,
                found=str(error).splitlines()[-1].strip(),
            ) from error
        return network


def describe(node: Mapping[str, Any], config: Mapping[str, Any], pairs_dir: Path) -> dict[str, Any]:
    """Return what a checkpoint carries under `KEY`.

    Args:
        node: of the network, `_target_` and its arguments.
        config: the run's resolved configuration in plain values.
        pairs_dir: what it is trained on.
    """
    try:
        geometry = geometry_of(pairs_dir)
    except JewelenhError as error:
        geometry = None
        log.warning("the checkpoint does not say where its network stands: %s", str(error).splitlines()[0])
    return {
        "version": VERSION,
        "network": dict(node),
        "pairs_dir": str(pairs_dir),
        **({} if geometry is None else {"geometry": asdict(geometry)}),
        "config": {key: value for key, value in config.items() if key != "hardware"},
    }


def geometry_of(pairs_dir: Path) -> Geometry:
    """Return what the pairs say: on photos a network stands before the enhancer, on enhanced ones after it.

    Raises:
        PairsError, StageError: the pairs cannot be read.
    """
    pairs = read_pairs(pairs_dir)
    if pairs.placement == "before":
        return Geometry("before")
    sides = [min(pair.record.get("native_size", pair.side)) for pair in pairs.pairs]
    size = pairs.format.size
    return Geometry("after", 1.0 if size is None or not sides else size / statistics.median(sides))


def _geometry(about: Mapping[str, Any], file: Path) -> Geometry:
    """Return a checkpoint's geometry; that of one which does not say is the geometry of its pairs."""
    if "geometry" in about:
        return parse(Geometry, about["geometry"], "geometry")
    with contextlib.suppress(JewelenhError):
        return geometry_of(Path(about["pairs_dir"]))
    size = about["config"].get("pairs", {}).get("size")
    scale = 1.0 if size is None else min(1.0, size / FORMER_SIDE_PX)
    log.warning("%s does not say at which size it works, and its pairs are gone: taken for %.3f", file, scale)
    return Geometry("after", scale)


def check_same_run(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Hold what a checkpoint says of itself against the run that wants to go on from it.

    Raises:
        CheckpointError: another network, recipe or other pairs, with every difference.
    """
    if not now:  # a module trained without saying what it is, by itself
        return
    if then is None:
        raise CheckpointError("The run cannot go on from this checkpoint.", found=f"no entry {KEY!r} in it")
    old, new = (_node(side["network"]) for side in (then, now))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = {name: "network" if name == "_target_" else name for name in names}
    different = [f"{shown[name]}: {old.get(name)} in the checkpoint, {new.get(name)} now" for name in names]
    recipes = [side["config"].get("model", {}).get("recipe") for side in (then, now)]
    if recipes[0] != recipes[1]:
        different.append(f"model.recipe: {recipes[0]} in the checkpoint, {recipes[1]} now")
    before, here = Path(then["pairs_dir"]).name, Path(now["pairs_dir"]).name
    if before != here:
        different.append(f"pairs: {before} in the checkpoint, {here} now")
    if different:
        raise CheckpointError(
            "The run cannot go on from this checkpoint: it belongs to another one.",
            found="\n            ".join(different),
            fix="give the settings that it was trained with, or leave out ckpt_path= to begin anew",
        )


def open_checkpoint(file: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a checkpoint's content and what it says of itself under `KEY`; nothing in it is executed.

    Raises:
        CheckpointError: missing, truncated, unsafe, or not ours.
    """
    if not file.is_file():
        raise CheckpointError("There is no such checkpoint.", where=file, fix="python -m jewelenh.train makes one")
    content = _exported(file) if file.suffix == ".safetensors" else _pickled(file)
    about = next((content[key] for key in KEYS if key in content), None) if isinstance(content, dict) else None
    if not isinstance(about, dict):
        raise CheckpointError("The file was not written by jewelenh.train.", where=file, expected=f"an entry {KEY!r}")
    return content, about


def _pickled(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of bytes that are no checkpoint, the unpickler raises nearly anything
        reason = str(error).splitlines()[0][:200] if str(error) else repr(error)
        if isinstance(error, pickle.UnpicklingError):  # torch's own words advise to load it unsafely
            reason = "no weights and plain values alone: other bytes, or code that would be run"
        raise CheckpointError("The file is no readable checkpoint.", where=file, found=reason) from error


def _exported(file: Path) -> dict[str, Any]:
    """Return the content of `refinement.weights.write_weights` as that of a checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as content:
            about = json.loads((content.metadata() or {}).get(KEY, "null"))
            weights = {f"{PREFIX}{name}": content.get_tensor(name).float() for name in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError("The weights cannot be read.", where=file, found=error) from error
    if not isinstance(about, dict):
        return {}
    return {KEY: about, "state_dict": weights, "epoch": about.get("epoch", 0), "global_step": about.get("step", 0)}


def read_checkpoint(file: Path, trust: Sequence[str] = ()) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed, and no module is imported for it before `Checkpoint.network`.

    Args:
        file: written by `jewelenh.train`.
        trust: packages or modules beside jewelenh and torch that its network may come from.

    Raises:
        CheckpointError: missing, truncated, unsafe, not ours, or of another version.
    """
    content, about = open_checkpoint(file)
    if KEY not in content:
        raise CheckpointError("A checkpoint of another recipe.", where=file, expected=f"an entry {KEY!r}")
    if about.get("version") not in range(1, VERSION + 1):
        raise CheckpointError(
            "A checkpoint of another version.", where=file, expected=f"1 to {VERSION}", found=about.get("version")
        )
    return _from_content(file, content, about, trust)


def _from_content(file: Path, content: Mapping[str, Any], about: Mapping[str, Any], trust: Sequence[str]) -> Checkpoint:
    try:
        weights = {k.removeprefix(PREFIX): v for k, v in content["state_dict"].items() if k.startswith(PREFIX)}
        config = about["config"]
        return Checkpoint(
            file=file,
            node=_node(about["network"]),
            weights=weights,
            enhancer=_enhancer(config["enhancer"]),
            level=config["degradation"]["name"],
            pairs_dir=Path(about["pairs_dir"]),
            epoch=content["epoch"],
            step=content["global_step"],
            config=config,
            geometry=_geometry(about, file),
            trust=(trust,) if isinstance(trust, str) else tuple(trust),
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError("The checkpoint is incomplete.", where=file, found=repr(error)) from error


def _enhancer(values: Mapping[str, Any]) -> Enhancer:
    """Read the enhancer of a checkpoint; older ones say how it was run as well, which is no part of it."""
    hardware = {field.name for field in fields(Hardware)}
    return parse(Enhancer, {key: value for key, value in values.items() if key not in hardware}, "enhancer")


def _node(network: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network's node; version 1 kept the class and what it was built with."""
    if "class" not in network:
        return dict(network)
    settings = {name: value for name, value in network["settings"].items() if (name, value) not in STUDY.items()}
    return {"_target_": network["class"], **settings}


def build_network(node: Mapping[str, Any], where: object, trust: Sequence[str] = ()) -> nn.Module:
    """Build the network that a file describes, if it comes from jewelenh, torch or a package in `trust`.

    Raises:
        CheckpointError: another package, something that is no network, or arguments that it does not take.
    """
    for target in targets(node):
        _check_trusted(target, where, trust)
    try:
        network = build(node, "network")
    except ConfigError as error:
        raise CheckpointError("The checkpoint's network cannot be built.", where=where, found=error) from error
    if not isinstance(network, nn.Module):
        raise CheckpointError("The checkpoint names something that is no network.", where=where, found=node)
    return network


def targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` in a node, its arguments' included."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, Iterable) and not isinstance(node, str):
        for value in node:
            yield from targets(value)


def _check_trusted(target: str, where: object, trust: Sequence[str]) -> None:
    if any(target == name or target.startswith(f"{name}.") for name in trust):
        return
    package = target.split(".", 1)[0]
    if package not in TRUSTED:
        raise CheckpointError(
            "The checkpoint's network comes from a module that would be imported, which runs its code.",
            where=where,
            expected=f"a network of {' or '.join(TRUSTED)}",
            found=target,
            fix=f"trust=[{package}], if you know whose code that is",
        )
    try:
        found = find_target(target, "network")
    except ConfigError as error:
        raise CheckpointError("The checkpoint's network cannot be found.", where=where, found=target) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise CheckpointError(
            "The checkpoint names something that is no network.",
            where=where,
            found=target,
            fix=f"trust=[{target}], if you know what calling it does",
        )
