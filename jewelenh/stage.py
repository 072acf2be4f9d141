"""A stage directory `<level>-<fingerprint>`: what was made, from what, and nothing half-made.

    data/degraded/mild-3f9c2a71d0/
        manifest.json        version, kind, fingerprint, spec, items, failures: committed last, sorted, no clock in it
        journal-*.jsonl      finished items of a run that is under way or was killed; merged at commit
        .lock*               held by the kernel while a process works here, gone with the process
        <files of the items>

The fingerprint hashes the spec: everything upstream that changes the result, except the photos themselves. Each item is
keyed by the content it was made from, so a finished item is never redone and a changed photo redoes only its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from jewelenh.config import Shard
from jewelenh.errors import ImageError, ItemsFailedError, StageError
from jewelenh.files import explained, lock, write_atomically
from jewelenh.images import Photo, decode, read_bytes
from jewelenh.manifest import (
    Item,
    StoredFile,
    canonical_json,
    fingerprint_of,
    item_from_json,
    manifest_bytes,
    read_manifest,
    sha256_of,
)

log = logging.getLogger(__name__)

DAMAGED = "was replaced or damaged: it is made again once it is removed."
"""Said of a file of a stage, after its name."""


@dataclass(frozen=True)
class Selection:
    """What one stage hands to the next: of the items asked for, the finished in that order, and the failed."""

    directory: Path
    fingerprint: str
    items: Sequence[Item]
    failures: Mapping[str, str]
    n_made: int = 0
    """How many of the items this run made; the others were there."""

    def file(self, item: Item, role: str = "image") -> Path:
        """Return the absolute path of an item's file."""
        return self.directory / item.files[role].path

    def photo(self, item: Item) -> Photo:
        """Read an item's photo; raise ImageError where it is none, or where the file is not what was indexed."""
        path, data = self.file(item), read_bytes(self.file(item))
        if sha256_of(data) != item.files["image"].sha256:
            is_made = self.directory in path.parents
            what = f"{path} {DAMAGED}" if is_made else "The photo has changed since it was indexed; run again."
            raise ImageError(what, where=path)
        return decode(data, path)


@dataclass
class Stage:
    """One stage directory, open for writing; made by `open_stage`. `save` and `fail` may be called from any thread."""

    directory: Path
    kind: str
    spec: Mapping[str, Any]
    items: dict[str, Item]
    _journal: TextIO
    _alone: bool
    _failures: dict[str, str] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def is_finished(self, stem: str, key: str) -> bool:
        """Say whether the item was made from `key` and all of its files are there in full size."""
        item = self.items.get(stem)
        return item is not None and item.key == key and all(self._is_whole(file) for file in item.files.values())

    def _is_whole(self, file: StoredFile) -> bool:
        try:
            return (self.directory / file.path).stat().st_size == file.bytes
        except OSError:
            return False

    def save(self, stem: str, key: str, files: Mapping[str, tuple[str, bytes]], record: Mapping[str, Any]) -> Item:
        """Write the files (role -> (relative path, content)) whole or not at all, then note the item as finished."""
        stored = {role: self._write(path, data) for role, (path, data) in files.items()}
        return self.note(stem, key, stored, record)

    def note(self, stem: str, key: str, stored: Mapping[str, StoredFile], record: Mapping[str, Any]) -> Item:
        """Note an item whose files are in place already."""
        item = Item(stem, key, stored, record)
        with self._guard:
            self.items[stem] = item
            self._made.add(stem)
            self._failures.pop(stem, None)
            with explained(self.directory):
                self._journal.write(canonical_json(asdict(item)) + "\n")
                self._journal.flush()
        return item

    def _write(self, path: str, data: bytes) -> StoredFile:
        write_atomically(self.directory / path, data)
        return StoredFile(path, sha256_of(data), len(data))

    def fail(self, stem: str, reason: str) -> None:
        """Note that the item could not be made; it is tried again in the next run."""
        with self._guard:
            self._failures[stem] = reason
            self.items.pop(stem, None)
        log.warning("%s: %s failed: %s", self.directory.name, stem, reason)

    def commit(self, stems: Iterable[str]) -> Selection:
        """Merge what this run did into the manifest, atomically, and return the selection of `stems`."""
        self._journal.flush()
        with lock(self.directory / ".lock-commit"):
            self._commit_merged()
        for path in self.directory.glob("journal-*.jsonl") if self._alone else [Path(self._journal.name)]:
            path.unlink(missing_ok=True)
        return self.selection(stems)

    def _commit_merged(self) -> None:
        """Take over what another shard committed meanwhile; an unchanged manifest is left as it is."""
        on_disk = read_manifest(self.directory)
        items = dict(on_disk.items) if on_disk else {}
        items.update({stem: item for stem, item in self.items.items() if stem in self._made or stem not in items})
        failures = {**(on_disk.failures if on_disk else {}), **self._failures}
        items = {stem: item for stem, item in items.items() if stem not in self._failures}
        failures = {stem: why for stem, why in failures.items() if stem not in items}
        self.items = items
        data = manifest_bytes(self.kind, self.spec, items, failures)
        path = self.directory / "manifest.json"
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)

    def selection(self, stems: Iterable[str]) -> Selection:
        """Return what the next stage gets of `stems`."""
        stems = list(stems)
        return Selection(
            directory=self.directory,
            fingerprint=fingerprint_of(self.spec),
            items=[self.items[stem] for stem in stems if stem in self.items],
            failures={stem: self._failures[stem] for stem in stems if stem in self._failures},
            n_made=len(self._made),
        )


@contextlib.contextmanager
def open_stage(
    parent: Path, level: str, kind: str, spec: Mapping[str, Any], *, shard: Shard | None = None
) -> Iterator[Stage]:
    """Open `<parent>/<level>-<fingerprint>` for writing, and wait while another process does.

    Shards of one stage (`shard.count` above 1) work side by side, each under a lock and a journal of its own.

    Raises:
        StageError: the directory cannot be written, or its manifest is broken or belongs to another spec.
    """
    shard = shard or Shard()
    directory = Path(parent).absolute() / f"{level}-{fingerprint_of(spec)}"
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
    name = f"{shard.index}of{shard.count}"
    with contextlib.ExitStack() as stack:
        _keep_others_out(directory, shard, stack)
        items = _finished_items(directory, spec, sweep=shard.count == 1)
        with explained(directory):
            journal = stack.enter_context((directory / f"journal-{name}.jsonl").open("a", encoding="utf-8"))
            journal.write("\n")  # ends a line that a kill tore
        yield Stage(directory, kind, spec, items, journal, _alone=shard.count == 1)


def _keep_others_out(directory: Path, shard: Shard, locks: contextlib.ExitStack) -> None:
    """Wait for the other writers: all of them, or as a shard for those that write the whole stage or the same shard.

    Whoever writes the whole stage holds `.lock`, which shards pass through when they begin, and waits for those that
    have begun.
    """
    if shard.count == 1:
        locks.enter_context(lock(directory / ".lock"))
        for path in directory.glob(".lock-*of*"):
            locks.enter_context(lock(path))
        return
    with lock(directory / ".lock"):
        locks.enter_context(lock(directory / f".lock-{shard.index}of{shard.count}"))


def check_failures(selection: Selection, label: str, on_error: str) -> None:
    """Raise ItemsFailedError when items failed and `on_error` is not `skip`; nothing is dropped in silence."""
    if not selection.failures:
        return
    shown = [f"  {stem!r}: {reason.splitlines()[0]}" for stem, reason in list(selection.failures.items())[:20]]
    more = len(selection.failures) - len(shown)
    text = "\n".join(shown + ([f"  and {more} more"] if more else []))
    summary = f"{label}: {len(selection.failures)} of {len(selection.failures) + len(selection.items)} failed"
    if on_error == "skip":
        log.warning("%s; on_error=skip goes on without them:\n%s", summary, text)
        return
    raise ItemsFailedError(
        f"{summary}; the others are finished and kept.\n{text}",
        where=selection.directory / "manifest.json",
        fix="mend or remove what is named and run again, or go on without it with on_error=skip",
    )


def _finished_items(directory: Path, spec: Mapping[str, Any], sweep: bool) -> dict[str, Item]:
    """Read the manifest and the journals of killed runs; with `sweep` also remove their temporary files."""
    manifest = read_manifest(directory)
    if manifest and canonical_json(manifest.spec) != canonical_json(spec):
        raise StageError("Two different specs have one fingerprint.", where=directory, fix=f"move {directory} away")
    items = dict(manifest.items) if manifest else {}
    for path in sorted(directory.glob("journal-*.jsonl")):
        with explained(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # torn by a kill
                item = item_from_json(json.loads(line))
                items[item.stem] = item
    if sweep:
        for temporary in directory.rglob(".*.tmp"):
            temporary.unlink(missing_ok=True)
    return items
