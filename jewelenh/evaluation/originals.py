"""From a pair back to the raw and the degraded photo it came from, by content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jewelenh.errors import JewelenhError
from jewelenh.images import Pixels, read_photo, to_uint8
from jewelenh.manifest import Manifest, read_manifest
from jewelenh.pairs.contract import Pair, PairsManifest


@dataclass(frozen=True)
class Originals:
    """The files behind a pair; None where a stage has been removed since."""

    raw: Path | None
    degraded: Path | None


def find_originals(pairs: PairsManifest, chosen: Sequence[Pair]) -> dict[str, Originals]:
    """Return the originals of the chosen pairs by stem, looked up in the stages beside the pairs directory."""
    data_dir = pairs.directory.parent.parent
    enhanced = {
        file.sha256: item.key
        for manifest in _manifests(data_dir / "enhanced")
        for item in manifest.items.values()
        for file in item.files.values()
    }
    degraded = _by_content(data_dir / "degraded")
    raw = _by_content(data_dir / "raw")
    found = {}
    for pair in chosen:
        source = pair.record.get("source", {})
        behind = enhanced.get(source.get("input", ""), "")
        found[pair.stem] = Originals(raw.get(source.get("raw", "")), degraded.get(behind))
    return found


def _by_content(folder: Path) -> dict[str, Path]:
    return {
        file.sha256: path
        for manifest in _manifests(folder)
        for item in manifest.items.values()
        for file in item.files.values()
        if (path := manifest.directory / file.path).is_file()
    }


def _manifests(folder: Path) -> Iterator[Manifest]:
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            manifest = read_manifest(path.parent)
        except JewelenhError:
            continue  # a stage that cannot be read is the chain's to report; here it only has no picture to show
        if manifest is not None:
            yield manifest


def read_original(path: Path | None) -> Pixels | None:
    """Return a photo as (H, W, 3) uint8, or None where there is none."""
    return None if path is None else to_uint8(read_photo(path).pixels)
