"""The checkpoints that can be picked: those found below a folder, newest first, and what each says of itself."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jewelenh.errors import JewelenhError
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.runs import BEST, CHECKPOINTS, READY

log = logging.getLogger(__name__)

N_LISTED = 30
"""Newest checkpoints that are offered."""


@dataclass(frozen=True)
class Trained:
    """A checkpoint that can be picked."""

    file: Path
    level: str
    when: datetime

    @property
    def key(self) -> str:
        """Return what stands for it on the page: the same while a training goes on and replaces the file."""
        return hashlib.sha256(str(self.file).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Return one line to pick it by."""
        when = "ready weights" if self.file == READY else f"{self.when:%d %b %Y, %H:%M}"
        return f"{self.level} · {when}"


def find_trained(output_dir: Path, given: Path | None = None) -> list[Trained]:
    """Return the refinement checkpoints below `output_dir`, newest first, then the ready weights; `given` leads.

    Raises:
        CheckpointError: `given` is invalid.
    """
    files = [path for path in output_dir.glob(f"**/{CHECKPOINTS}/{BEST}") if path.is_file()]
    newest = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:N_LISTED]
    first = [] if given is None else [_read(given, given.stat().st_mtime_ns)]
    found = first + [trained for path in newest if path != given and (trained := _usable(path)) is not None]
    if all(one.file != READY for one in found):
        found.append(_read(READY, READY.stat().st_mtime_ns))
    return found


def choices(trained: Sequence[Trained]) -> list[tuple[str, str]]:
    """Return (label, key) of each, with no two labels equal."""
    labels: list[str] = []
    for one in trained:
        label, number = one.label, 2
        while label in labels:
            label, number = f"{one.label} ({number})", number + 1
        labels.append(label)
    return [(label, one.key) for label, one in zip(labels, trained, strict=True)]


def _usable(path: Path) -> Trained | None:
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (JewelenhError, OSError) as error:
        log.info("not offered: %s: %s", path, str(error).splitlines()[0])
        return None


@functools.lru_cache(maxsize=4 * N_LISTED)
def _read(path: Path, modified_ns: int) -> Trained:
    return Trained(path, read_checkpoint(path).level, datetime.fromtimestamp(modified_ns / 1e9))
