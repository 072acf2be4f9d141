"""What makes two trainings the same: the name of their directory, made of the values that decide the result.

`${run_name:}` in conf/train.yaml. Paths, dashboards and hardware have no part in it; photos and weight files count by
their content.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from jewelenh.config import Source, parse
from jewelenh.manifest import sha256_of_file
from jewelenh.runs import LAST, READY
from jewelenh.sources import choose, find_photos

VERSION = 1
"""Part of every name: counts up when equal values would no longer give equal runs."""
NOT_THE_RESULT = frozenset({
    "hydra", "paths", "logger", "hardware", "traceback", "experiment", "tags", "ckpt_path", "rerun", "busy",
    "fail_fast", "objective", "test", "workers", "on_error", "shard", "search",
    "callbacks.lines", "callbacks.panel", "callbacks.resources", "callbacks.learning_rate", "callbacks.periodic",
    "callbacks.stopped", "callbacks.summary", "callbacks.prune",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.log_every_n_steps",
    "trainer.num_sanity_val_steps", "trainer.enable_model_summary", "trainer.enable_progress_bar", "trainer.profiler",
    "model.data.workers", "model.data.cache_mib",
})  # fmt: skip
"""Keys that say how a run is made, shown or started. `seed` and `trainer.precision`, as they are written, count."""
FILES = frozenset({"test_root", "weights", "start", "perceptual_file"})
"""Keys whose value is a path: what is in the file or folder counts, not where it lies."""
_sha256 = functools.lru_cache(sha256_of_file)


def run_name(_root_: DictConfig) -> str:
    """Return `<level>-seed<n>-<ten hex digits over what decides the result>`; an OmegaConf resolver.

    Raises:
        SourceError: the photos are not there. CheckpointError: that of `ckpt_path` is not.
    """
    content = {"version": VERSION, "values": identity(_root_)}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{_root_.degradation.name}-seed{_root_.seed}-{digest[:10]}"


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Return the values of a training's configuration that decide its result, by their full keys."""
    values = dict(_kept(cfg, ""))
    if cfg.get("source") and cfg.source.kind == "folder" and cfg.source.root is not None:
        source: Any = OmegaConf.to_container(cfg.source, resolve=True)
        values["source.root"] = _photos(parse(Source, source, "source"), cfg.seed)
    if cfg.get("ckpt_path") is not None:
        from jewelenh.refinement.weights import find_checkpoint  # and with it torch

        values["ckpt_path"] = _sha256(find_checkpoint(cfg.ckpt_path, Path(cfg.paths.output_dir), LAST))
    return values


def _kept(node: DictConfig, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in map(str, node):
        key = f"{prefix}{name}"
        if key in NOT_THE_RESULT:
            continue
        raw = node._get_node(name)
        written = raw._value() if raw is not None and not OmegaConf.is_config(raw) else None
        if isinstance(written, str) and "${hydra:" in written:  # where this run lies, which its name decides
            yield key, written
            continue
        value = node[name]
        if isinstance(value, DictConfig) and value:
            yield from _kept(value, f"{key}.")
        else:
            plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            yield key, _content(name, plain)


def _content(name: str, value: Any) -> Any:
    """Put a file's content in place of its path."""
    if name not in FILES or not isinstance(value, str):
        return value
    path = READY if (name, value) == ("start", "ready") else Path(value).expanduser()
    if path.is_dir():
        return {str(file.relative_to(path)): _sha256(file) for file in sorted(path.rglob("*")) if file.is_file()}
    return {"sha256": _sha256(path)} if path.is_file() else value


@functools.lru_cache
def _photos(source: Source, seed: int) -> dict[str, str]:
    """Return a hash over names and contents of a folder's photos: the same name for as long as this process lives."""
    assert source.root is not None
    root = source.root.expanduser().absolute()
    stems = choose(find_photos(root, source.extensions), source.limit, seed)
    found = [[stem, _sha256(root / stem) if (root / stem).is_file() else None] for stem in stems]
    return {"photos": hashlib.sha256(json.dumps(found).encode()).hexdigest()}
