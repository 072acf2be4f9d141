"""The photos that are scored, from wherever they are still to be had, and what the enhancer makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pydantic import TypeAdapter

from jewelenh.config import Source, Split, parse
from jewelenh.degradation.draws import sample
from jewelenh.degradation.levels import AnyDegradation, Degradation, Levels
from jewelenh.degradation.run import degrade_photo, stem_of
from jewelenh.degradation.transforms import steps_of
from jewelenh.enhancement.weights import identity_of
from jewelenh.errors import ImageError, JewelenhError
from jewelenh.images import Photo, Pixels, decode, read_bytes, read_photo, to_uint8
from jewelenh.manifest import Manifest, StoredFile, read_manifest, sha256_of
from jewelenh.pairs.contract import Pair, PairsManifest, SplitName, read_pairs
from jewelenh.pairs.split import assign, group_photos, near_any, perceptual_hash
from jewelenh.restoration.restorer import Restorer
from jewelenh.sources import fetch

Reading: TypeAlias = Callable[[], tuple[Photo, str]]
"""Gives a photo when it is needed, and the SHA-256 of its file, by which stages know it."""
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
class ScoredPhoto:
    """One photo at one level; nothing is read before it is asked for."""

    stem: str
    photo: str
    """Stem of the raw photo, which its versions share."""
    level: str
    raw: Reading | None
    """None where it is gone."""
    degraded: Reading | None
    pair: Pair | None = None
    """None where no pair was made of it."""

    @property
    def is_served(self) -> bool:
        """Say whether it can be restored as a user's photo is, and be held against raw."""
        return self.raw is not None and self.degraded is not None


def photos_of_pairs(pairs: PairsManifest, split: SplitName) -> list[ScoredPhoto]:
    """Return the photos of a split in order, those of one raw photo together."""
    chosen = sorted(pairs.split(split), key=lambda pair: (pair.photo, pair.stem))
    originals = {} if pairs.placement == "before" else find_originals(pairs, chosen)
    found = []
    for pair in chosen:
        if pairs.placement == "before":
            both = (("target", pair.target), ("input", pair.input))
            raw, degraded = (_tensor(pairs, file, pair.record["source"][name]) for name, file in both)
            found.append(ScoredPhoto(pair.stem, pair.photo, pair.level, raw, degraded, pair))
            continue
        paths = (originals[pair.stem].raw, originals[pair.stem].degraded)
        before, after = (None if path is None else _file(path) for path in paths)
        found.append(ScoredPhoto(pair.stem, pair.photo, pair.level, before, after, pair))
    return found


def names_photos(config: Mapping[str, Any]) -> bool:
    """Say whether a training's configuration is enough for `photos_named`."""
    return {"source", "seed", "degradation", "pairs"} <= config.keys()


def photos_named(config: Mapping[str, Any], data_dir: Path, split: SplitName) -> list[ScoredPhoto]:
    """Return the photos of a split that a training's configuration names: its pairs, made without them.

    Raises:
        ConfigError, SourceError: the configuration is of another version, or the photos are not there.
    """
    seed, given = config["seed"], TypeAdapter(AnyDegradation).validate_python(config["degradation"])
    levels = list(given.levels.values()) if isinstance(given, Levels) else [given]
    shares = parse(Split, config["pairs"].get("split", {}), "pairs.split")
    raw = fetch(parse(Source, config["source"], "source"), seed, data_dir)
    files = {item.stem: _file(raw.file(item)) for item in raw.items}
    hashes = {}
    for stem, read in files.items():
        with contextlib.suppress(ImageError):  # then no pair was made of it either
            hashes[stem] = perceptual_hash(read()[0].pixels)
    placed = assign(group_photos(hashes, shares.near_duplicate_bits, seed), shares, seed)
    found = []
    for stem in sorted(stem for stem in placed if placed[stem] == split):
        made = [_degraded(stem, files[stem], one, seed, variant) for one in levels for variant in range(one.variants)]
        if isinstance(given, Levels):
            made = [replace(one, stem=f"{one.stem}~{one.level}") for one in made]
        found += made
    return found


def at_level(photos: Sequence[ScoredPhoto], name: str, level: Degradation | None, seed: int) -> list[ScoredPhoto]:
    """Return the raw photos at another level, as `jewelenh.degrade` would make them; None leaves them as they are."""
    raws = {one.photo: one.raw for one in photos if one.raw is not None}
    if level is None:
        return [ScoredPhoto(photo, photo, name, read, read) for photo, read in raws.items()]
    return [_degraded(photo, read, level, seed) for photo, read in raws.items()]


def _degraded(photo: str, raw: Reading, level: Degradation, seed: int, variant: int = 0) -> ScoredPhoto:
    def read() -> tuple[Photo, str]:
        draw = sample(steps_of(level), seed, level.name, variant, photo)
        data, _ = degrade_photo(photo, variant, draw, raw()[0])
        return decode(data, photo), sha256_of(data)

    return ScoredPhoto(stem_of(photo, variant), photo, level.name, raw, read)


@dataclass(frozen=True)
class Originals:
    """The files behind a pair; None where a stage has been removed since, or they have changed."""

    raw: Path | None
    degraded: Path | None


@dataclass(frozen=True)
class EnhancedPhoto:
    """A photo with what a user's would become but for the network; a target is shared by the levels of a photo."""

    raw: Photo
    degraded: Photo
    input: Photo
    target: Photo


class EnhancedPhotos:
    """What one enhancer makes of photos: as stages beside the pairs hold it already, else made now."""

    def __init__(self, restorer: Restorer, data_dir: Path) -> None:
        self.restorer, self._target = restorer, ("", Photo(np.empty((0, 0, 3), np.uint8)))
        identity = identity_of(restorer.enhancer)
        self._files = {
            item.key: (manifest.directory / file.path, file.sha256)
            for manifest in _manifests(data_dir / "enhanced")
            if manifest.spec.get("enhancer") == identity
            for item in manifest.items.values()
            for file in item.files.values()
        }

    def of(self, one: ScoredPhoto) -> EnhancedPhoto:
        """Return one photo, enhanced; memory holds no other but the last target."""
        assert one.raw is not None
        assert one.degraded is not None
        (raw, of_raw), (degraded, of_degraded) = one.raw(), one.degraded()
        if self._target[0] != of_raw:
            self._target = of_raw, self._enhanced(raw, of_raw)
        target = self._target[1]
        input = target if of_degraded == of_raw else self._enhanced(degraded, of_degraded)
        return EnhancedPhoto(raw, degraded, input, target)

    def _enhanced(self, photo: Photo, sha256: str) -> Photo:
        path, expected = self._files.get(sha256, (None, ""))
        if path is not None and _is_still(path, expected):
            return read_photo(path)
        return self.restorer.upscaler.upscale(photo)


def find_originals(pairs: PairsManifest, chosen: Sequence[Pair]) -> dict[str, Originals]:
    """Return the originals of the chosen pairs by stem, looked up by content in the stages beside the pairs."""
    keys = {
        pair.stem: (pair.record.get("source", {}).get("raw", ""), pair.record.get("input", {}).get("source", ""))
        for pair in chosen
    }
    raws, degraded = (
        _by_content(pairs.directory.parent.parent / stage, {found[index] for found in keys.values()})
        for index, stage in enumerate(("raw", "degraded"))
    )
    return {stem: Originals(raws.get(raw), (degraded | raws).get(before)) for stem, (raw, before) in keys.items()}


def _by_content(folder: Path, wanted: set[str]) -> dict[str, Path]:
    """Return by SHA-256 the files of stages that are still what the manifests say."""
    found: dict[str, Path] = {}
    for manifest in _manifests(folder):
        for item in manifest.items.values():
            for file in item.files.values():
                path = manifest.directory / file.path
                if file.sha256 in wanted - found.keys() and _is_still(path, file.sha256):
                    found[file.sha256] = path
    return found


def _is_still(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path.read_bytes()) == sha256


def _manifests(folder: Path) -> Iterator[Manifest]:
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            manifest = read_manifest(path.parent)
        except JewelenhError:
            continue  # a stage that cannot be read is the chain's to report; here it only has no picture to show
        if manifest is not None:
            yield manifest


def _tensor(pairs: PairsManifest, file: StoredFile, sha256: str) -> Reading:
    return lambda: (Photo(pairs.pixels(file)), sha256)


def _file(path: Path) -> Reading:
    def read() -> tuple[Photo, str]:
        data = read_bytes(path)
        return decode(data, path), sha256_of(data)

    return read


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


def sides(directory: Path) -> dict[str, str]:
    """Return the side of the split of each photo, by content."""
    return {_content(pair): pair.split for pair in read_pairs(directory).pairs}


def _content(pair: Pair) -> str:
    """Return the raw photo's hash, where the pairs know it."""
    return str(pair.record.get("source", {}).get("raw") or pair.photo)


def _hash(pair: Pair) -> int | None:
    """Return the raw photo's perceptual hash, where the pairs know it."""
    return int(pair.record["hash"], 16) if "hash" in pair.record else None
