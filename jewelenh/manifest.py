"""The manifest of a stage directory: what is in it, made from what; written last and read by every later stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jewelenh.errors import StageError

MANIFEST_VERSION = 1


def fingerprint_of(spec: Mapping[str, Any]) -> str:
    """Return ten hex digits of the SHA-256 of `spec` as canonical JSON."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:10]


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, the text that fingerprints hash."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class StoredFile:
    """A file of an item: `path` relative to the stage directory, its SHA-256 and its size in bytes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Item:
    """A finished item: `key` is what it was made from, `files` what came of it by role, `record` what was done."""

    stem: str
    key: str
    files: Mapping[str, StoredFile]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """A stage directory's committed state."""

    directory: Path
    kind: str
    spec: Mapping[str, Any]
    items: Mapping[str, Item]
    failures: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the spec."""
        return fingerprint_of(self.spec)


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of a stage directory, or None where there is none yet; raise StageError when it is broken."""
    path = directory / "manifest.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items = {entry["stem"]: item_from_json(entry) for entry in content["items"]}
        manifest = Manifest(directory, content["kind"], content["spec"], items, content["failures"])
        version, fingerprint = content["version"], content["fingerprint"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageError(
            "A stage manifest cannot be read.", where=path, found=repr(error), fix=f"remove {directory} and run again"
        ) from error
    if version != MANIFEST_VERSION:
        raise StageError(
            "A stage was written by another version.", where=path, expected=MANIFEST_VERSION, found=version
        )
    if fingerprint != fingerprint_of(manifest.spec):
        raise StageError(
            "A stage manifest was changed by hand: its spec no longer gives its fingerprint.",
            where=path,
            expected=fingerprint,
            found=fingerprint_of(manifest.spec),
            fix=f"remove {directory} and run again",
        )
    return manifest


def item_from_json(entry: Mapping[str, Any]) -> Item:
    """Return the item that was written with `dataclasses.asdict`."""
    return Item(**{**entry, "files": {role: StoredFile(**file) for role, file in entry["files"].items()}})


def manifest_bytes(kind: str, spec: Mapping[str, Any], items: Mapping[str, Item], failures: Mapping[str, str]) -> bytes:
    """Return the manifest file: sorted, indented, without a clock, so that equal content is equal bytes."""
    content = {
        "version": MANIFEST_VERSION,
        "kind": kind,
        "fingerprint": fingerprint_of(spec),
        "spec": spec,
        "items": [asdict(items[stem]) for stem in sorted(items)],
        "failures": {stem: failures[stem] for stem in sorted(failures)},
    }
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
