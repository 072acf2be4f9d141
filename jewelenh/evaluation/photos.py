"""The photos behind a score: a pair's pixels, the raw and degraded photo it came from, and who was trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jewelenh.errors import JewelenhError
from jewelenh.images import Pixels, read_photo, to_uint8
from jewelenh.manifest import Manifest, read_manifest
from jewelenh.pairs.contract import Pair, PairsManifest, SplitName, read_pairs
from jewelenh.pairs.split import near_any

NEAR_BITS = 4
"""Photos this near are taken for copies where the training pairs were split without asking."""


def in_photos(n: int) -> str:
    """Return `1 photo`, `2 photos`."""
    return f"{n} photo{'' if n == 1 else 's'}"


def read_pixels(pairs: PairsManifest, chosen: Sequence[Pair]) -> Iterator[tuple[Pair, Pixels, Pixels]]:
    """Yield each pair with its input and target as (H, W, 3) uint8 RGB."""
    for pair in chosen:
        yield pair, pairs.pixels(pair.input), pairs.pixels(pair.target)


@dataclass(frozen=True)
class Originals:
    """The files behind a pair; None where a stage has been removed since."""

    raw: Path | None
    degraded: Path | None


def find_originals(pairs: PairsManifest, chosen: Sequence[Pair]) -> dict[str, Originals]:
    """Return the originals of the chosen pairs by stem, looked up by content in the stages beside the pairs."""
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


def leaks(trained_on: Mapping[str, Path], pairs: PairsManifest, split: SplitName) -> list[str]:
    """Return sentences for each checkpoint (name to its pairs) that was trained on photos of a split, or on their like.

    Photos are compared by content and, for copies that were encoded or resized again, by perceptual hash.
    """
    scored = {_content(pair): _hash(pair) for pair in pairs.split(split)}
    found = []
    for name, directory in trained_on.items():
        who = "this network" if name == "refined" else name
        try:
            own = read_pairs(directory)
        except JewelenhError:
            found.append(f"The pairs that {who} was trained on are gone: it may have seen these photos.")
            continue
        train = {_content(pair): _hash(pair) for pair in own.split("train")}
        given = own.spec.get("split", {}).get("near_duplicate_bits")
        bits: int = NEAR_BITS if given is None else given
        others = [value for content, value in scored.items() if content not in train and value is not None]
        n_near = sum(near_any(others, [value for value in train.values() if value is not None], bits))
        near = f"near-duplicates of them (perceptual hashes within {bits} bits)"
        for n_seen, what in ((len(scored.keys() & train.keys()), "them"), (n_near, near)):
            if n_seen:
                seen = f"{n_seen} of {in_photos(len(scored))}"
                found.append(f"{seen}: {who} was trained on {what}, so this is no test of it.")
    return found


def _content(pair: Pair) -> str:
    """Return the raw photo's hash, where the pairs know it."""
    return str(pair.record.get("source", {}).get("raw") or pair.photo)


def _hash(pair: Pair) -> int | None:
    """Return the raw photo's perceptual hash, where the pairs know it."""
    return int(pair.record["hash"], 16) if "hash" in pair.record else None
