"""What makes two runs the same: the configuration's values that decide the result, under one fingerprint.

Left out: `paths`, dashboards and how a run is shown or started (`LEFT_OUT`), and hardware: the group of that name,
accelerator, devices, nodes, strategy. In are `seed` and `trainer.precision` as it is written (`auto` is one value on
every machine), and what `without_gpu` replaces where there is no GPU, since that trains another network. A folder of
photos counts by the names and sizes of its files, a weight file by its content: neither by where it lies.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from jewelenh.manifest import canonical_json, sha256_of

VERSION = 1
"""Counts up when equal values would no longer give equal runs."""
LEFT_OUT = frozenset({
    "paths", "logger", "debug", "experiment", "tags", "resume", "rerun", "busy", "fail_fast", "lease", "objective",
    "hardware", "on_error", "shard", "without_gpu",
    "callbacks.lines", "callbacks.panel", "callbacks.resources", "callbacks.learning_rate", "callbacks.periodic",
    "callbacks.stopped",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.log_every_n_steps",
    "trainer.num_sanity_val_steps", "trainer.enable_model_summary", "trainer.enable_progress_bar",
    "data.workers", "data.pin_memory", "model.data.cache_mib",
})  # fmt: skip
WHERE_FILES_ARE = frozenset({"root", "test_root", "weights"})
"""Keys whose value is the path of a folder or a file, whether it has a slash in it or not."""


def identity(values: Mapping[str, Any], run_dir: Path | None = None) -> dict[str, Any]:
    """Return what a run's configuration (plain values, resolved) says about its result; `run_dir` is blotted out."""
    kept = dict(_kept(values, "", "" if run_dir is None else str(run_dir)))
    return {"version": VERSION, "values": kept}


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return twelve hex digits for an identity."""
    return sha256_of(canonical_json(content).encode())[:12]


def fitted(values: Mapping[str, Any], given: Collection[str], has_gpu: bool) -> dict[str, Any]:
    """Return `values` as training takes them here: without a GPU with those of `without_gpu` that nobody gave."""
    taken = copy.deepcopy(dict(values))
    on_gpu = has_gpu and values["trainer"]["accelerator"] in {"auto", "gpu", "cuda"}
    if on_gpu or values["model"]["recipe"] == "esrgan":  # which does not read `data`
        return taken
    for key, value in (values.get("without_gpu") or {}).items():
        if key not in given:
            *parents, name = key.split(".")
            node = taken
            for parent in parents:
                node = node[parent]
            node[name] = value
    return taken


def _kept(node: Mapping[str, Any], prefix: str, run_dir: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        key = f"{prefix}{name}"
        if key in LEFT_OUT:
            continue
        if isinstance(value, Mapping) and value:
            yield from _kept(value, f"{key}.", run_dir)
        else:
            yield key, _content(str(name), value, run_dir)


def _content(name: str, value: Any, run_dir: str) -> Any:
    """Put what is in a file or folder in place of its path."""
    if not isinstance(value, str):
        return value
    if run_dir:
        value = value.replace(run_dir, "<run>")
    path = Path(value).expanduser()
    if name not in WHERE_FILES_ARE and os.sep not in value:
        return value
    if path.is_file():
        return {"sha256": _sha256_of_file(path)}
    return {"files": census(path)} if path.is_dir() else value


def _sha256_of_file(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def census(folder: Path) -> str:
    """Return a hash over the names and sizes of all files below `folder`, hidden ones left out."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real in seen:
            continue
        seen.add(real)
        for name in files:
            file = Path(place, name)
            if not name.startswith(".") and file.is_file():
                found.append([file.relative_to(folder).as_posix(), file.stat().st_size])
    return sha256_of(canonical_json(sorted(found)).encode())
