"""Takes over from other pairs directories what they hold already, so that a grown data set costs only what is new."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jewelenh.errors import JewelenhError
from jewelenh.files import write_atomically
from jewelenh.manifest import StoredFile, read_manifest, sha256_of
from jewelenh.pairs.contract import KIND

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """A file of another pairs directory, and what its manifest says about it."""

    path: Path
    file: StoredFile
    shape: tuple[int, ...]
    native_size: tuple[int, int]
    bits: int


@dataclass
class Links:
    """What other pairs directories of the same format hold already, by the sha256 of the image it was made from."""

    parent: Path
    own: Path
    layout: Mapping[str, Any]
    stems: set[str] = field(default_factory=set)
    _index: dict[str, Known] | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, stem: str) -> None:
        """Count a pair that was linked whole."""
        with self._guard:
            self.stems.add(stem)

    def take(self, sha256: str, destination: Path) -> Known | None:
        """Put the file made from the image `sha256` at `destination`, if some directory has it and it is intact."""
        with self._guard:
            if self._index is None:
                self._index = dict(self._known())
        known = self._index.get(sha256)
        if known is None:
            return None
        try:
            data = known.path.read_bytes()
        except OSError:
            return None
        if len(data) != known.file.bytes or sha256_of(data) != known.file.sha256:
            log.warning("%s is not what its manifest says, so it is made again and not linked", known.path)
            return None
        if not _link(known.path, destination):
            write_atomically(destination, data)
        return known

    def _known(self) -> Iterator[tuple[str, Known]]:
        for path in sorted(self.parent.glob("*/manifest.json")):
            if path.parent == self.own:
                continue
            with contextlib.suppress(JewelenhError, KeyError, TypeError):
                manifest = read_manifest(path.parent)
                if manifest is None or manifest.kind != KIND or manifest.spec.get("format") != dict(self.layout):
                    continue
                for item in manifest.items.values():
                    record = item.record
                    shape, size = tuple(record["shape"]), tuple(record["native_size"])
                    for role, file in item.files.items():
                        known = Known(path.parent / file.path, file, shape, size, record["bits"])
                        yield record["source"][role], known


def _link(source: Path, destination: Path) -> bool:
    """Hard-link by way of a temporary name and rename, so that an old `destination` is replaced whole."""
    temporary = destination.with_name(f".{destination.name[:100]}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary.hardlink_to(source)
        temporary.replace(destination)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # renaming onto another name of the same file leaves both
    return True
