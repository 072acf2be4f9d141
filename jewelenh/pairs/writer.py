"""Turns enhanced photos into a pairs directory: a data set that is complete, split, and never changes afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jewelenh.config import Pairs
from jewelenh.errors import ImageError, JewelenhError, PairsError, StageError
from jewelenh.hardware import n_cores
from jewelenh.manifest import Item, canonical_json, read_manifest, sha256_of
from jewelenh.pairs.contract import KIND, NAMES, SPLITS, PairsManifest, SplitName, format_of, from_manifest
from jewelenh.pairs.split import assign, group_photos, perceptual_hash
from jewelenh.pairs.tensors import Read, TensorFile, Tensors, read_photo_pixels, read_verified
from jewelenh.progress import progress
from jewelenh.stage import Selection, Stage, check_failures, open_stage

log = logging.getLogger(__name__)


def write_pairs(
    raw: Selection,
    inputs: Mapping[str, Selection],
    targets: Selection,
    level: str,
    pairs: Pairs,
    seed: int,
    data_dir: Path,
    *,
    on_error: str = "stop",
    read: Read = read_photo_pixels,
    sides: Mapping[str, SplitName] | None = None,
) -> PairsManifest:
    """Write and split the pairs of one or several levels below `data_dir/pairs`, or find them there already.

    `raw` and `targets` have one item per photo, `inputs` one per degraded version and level, with the photo's stem in
    its record. Of several levels, each pair's stem ends in its own: `a.jpg~mild`, `a.jpg~1~mild`.
    Every `input` without a `target` or an original is a failure, and so is a file that is not what its manifest says.
    Content that another pairs directory of the same format holds already is linked from there. `read` turns files into
    images; `sides` says who goes where, by photo, in place of the seeded split.

    Raises:
        PairsError: there is nothing to pair.
        ItemsFailedError: some pairs could not be made and `on_error` is not `skip`.
    """
    work, orphans = _plan(raw, inputs, targets)
    if not work:
        n_inputs = sum(len(one.items) for one in inputs.values())
        raise PairsError("There is nothing to pair.", where=raw.directory, found=f"{n_inputs} inputs")
    made_from: Any = {name: one.fingerprint for name, one in inputs.items()}
    upstream = {"raw": raw.fingerprint, "inputs": made_from, "targets": targets.fingerprint}
    spec = _spec(work, upstream, level, pairs, seed)
    parent = Path(data_dir).absolute() / "pairs"
    with open_stage(parent, level, KIND, spec) as stage:
        for stem, why in orphans.items():
            stage.fail(stem, why)
        missing = [photo for photo in work if not photo.is_finished(stage)]
        n_linked = 0
        if missing:
            places = _places(stage, work, pairs, seed, read, sides)
            tensors = Tensors(stage.directory, pairs, spec["format"], read)
            n_linked = _write_all(stage, [photo for photo in missing if photo.stem in places], places, tensors)
        selection = stage.commit([image.stem for photo in work for image in photo.inputs] + list(orphans))
        manifest = read_manifest(stage.directory)
    assert manifest is not None
    n_made, n_there = selection.n_made - n_linked, len(selection.items) - selection.n_made
    log.info("%s: %d made, %d linked, %d there already", stage.directory.name, n_made, n_linked, n_there)
    check_failures(selection, f"pair {level}", on_error)
    return replace(from_manifest(manifest), n_made=n_made, n_linked=n_linked)


@dataclass(frozen=True)
class _Image:
    """An item of an upstream stage, and where its image is."""

    item: Item
    file: Path
    stem: str
    """That of the pair."""
    level: str = ""

    @property
    def sha256(self) -> str:
        """Return that of the image."""
        return self.item.files["image"].sha256


@dataclass(frozen=True)
class _PhotoWork:
    """One photo: its original, its target and its inputs."""

    raw: _Image
    target: _Image
    inputs: tuple[_Image, ...]

    @property
    def stem(self) -> str:
        """Return that of the original."""
        return self.raw.item.stem

    def key(self, image: _Image) -> str:
        """Return what a pair is made from: the content of both images and of the original."""
        return f"{image.sha256}+{self.target.sha256}+{self.raw.item.key}"

    def is_finished(self, stage: Stage) -> bool:
        """Say whether every pair of this photo is there."""
        return all(stage.is_finished(image.stem, self.key(image)) for image in self.inputs)


def _plan(
    raw: Selection, inputs: Mapping[str, Selection], targets: Selection
) -> tuple[list[_PhotoWork], dict[str, str]]:
    """Bring together what belongs together; return the work in the order of the photos, and inputs that lack a part."""
    raws, made = (
        {item.stem: _Image(item, part.file(item), item.stem) for item in part.items} for part in (raw, targets)
    )
    by_photo: dict[str, list[_Image]] = {}
    orphans: dict[str, str] = {}
    for level, part in inputs.items():
        for item in part.items:
            photo = str(item.record.get("photo", item.stem))
            stem = item.stem if len(inputs) == 1 else f"{item.stem}~{level}"
            if photo in raws and photo in made:
                by_photo.setdefault(photo, []).append(_Image(item, part.file(item), stem, level))
            else:
                orphans[stem] = f"its photo {photo!r} has no {'target' if photo in raws else 'original'}"
    work = [
        _PhotoWork(raws[photo], made[photo], tuple(sorted(by_photo[photo], key=lambda image: image.stem)))
        for photo in sorted(by_photo)
    ]
    return work, dict(sorted(orphans.items()))


def _spec(work: list[_PhotoWork], upstream: Mapping[str, Any], level: str, pairs: Pairs, seed: int) -> dict[str, Any]:
    """Return everything that decides the directory's content, the photos included."""
    contents = sorted([image.stem, photo.key(image)] for photo in work for image in photo.inputs)
    return {
        "format": asdict(format_of(pairs)),
        "level": level,
        "split": {"seed": seed, **asdict(pairs.split)},
        "upstream": upstream,
        "photos": {"n": len(work), "sha256": sha256_of(canonical_json(contents).encode())},
    }


@dataclass(frozen=True)
class _Place:
    """Where a photo went, and why."""

    split: SplitName
    group: str
    hash: int


def _places(
    stage: Stage,
    work: list[_PhotoWork],
    pairs: Pairs,
    seed: int,
    read: Read,
    given: Mapping[str, SplitName] | None,
) -> dict[str, _Place]:
    """Hash, group and split all photos; the pairs of a photo that cannot be read are failures and have no place."""
    otherwise = "The photo was changed after it was indexed: run again, after `touch` where it keeps an old time."

    def hash_of(photo: _PhotoWork) -> int | None:
        try:
            return perceptual_hash(read_verified(photo.raw.file, photo.raw.sha256, read, otherwise))
        except ImageError as error:
            for image in photo.inputs:
                stage.fail(image.stem, str(error))
            return None

    with ThreadPoolExecutor(min(8, n_cores())) as pool:
        found = zip(work, pool.map(hash_of, work), strict=True)
        hashes = {photo.stem: bits for photo, bits in found if bits is not None}
    groups = group_photos(hashes, pairs.split.near_duplicate_bits, seed)
    sides = assign(groups, pairs.split, seed) if given is None else given
    _say_split(sides, groups)
    return {stem: _Place(sides[stem], groups[stem], hashes[stem]) for stem in hashes}


def _write_all(stage: Stage, photos: list[_PhotoWork], places: Mapping[str, _Place], tensors: Tensors) -> int:
    """Write the photos side by side, each for itself; return how many pairs were linked whole."""
    n_linked, label = 0, f"pair {stage.directory.name}"
    with ThreadPoolExecutor(min(8, n_cores())) as pool, progress(label, len(photos)) as advance:
        for n in pool.map(lambda photo: _write_photo(stage, photo, places[photo.stem], tensors), photos):
            n_linked += n
            advance()
    return n_linked


def _say_split(sides: Mapping[str, SplitName], groups: Mapping[str, str]) -> None:
    n_groups = len(set(groups.values()))
    counts = {name: sum(side == name for side in sides.values()) for name in SPLITS}
    shares = ", ".join(f"{n} {name}" for name, n in counts.items())
    log.info("split: %d photos in %d groups: %s", len(groups), n_groups, shares)
    if n_groups < 3:
        log.warning("only %d group(s) of photos: not every split has one (%s)", n_groups, shares)


def _write_photo(stage: Stage, photo: _PhotoWork, place: _Place, tensors: Tensors) -> int:
    """Write one photo's target and inputs; JewelenhErrors of its images become failures of its pairs."""
    missing, n_linked = list(photo.inputs), 0
    input_name, target_name = NAMES[tensors.layout["content"]]
    try:
        target = tensors.write(photo.target.file, photo.target.sha256, f"{place.split}/{photo.stem}_{target_name}.npy")
        for image in photo.inputs:
            stem = image.stem
            made = tensors.write(image.file, image.sha256, f"{place.split}/{stem}_{input_name}.npy")
            if made.native_size != target.native_size:
                found = f"{made.native_size} and {target.native_size}"
                raise PairsError("Input and target differ in size, so they cannot be aligned.", where=stem, found=found)
            files = {"input": made.file, "target": target.file}
            stage.note(stem, photo.key(image), files, _record(photo, image, place, made))
            n_linked += made.was_linked and target.was_linked
            missing.remove(image)
    except StageError:
        raise  # the disk, not the photo
    except JewelenhError as error:
        for image in missing:
            stage.fail(image.stem, str(error))
    return n_linked


def _record(photo: _PhotoWork, image: _Image, place: _Place, made: TensorFile) -> dict[str, Any]:
    """Return what lets a pair be traced back to its photo, draw, weights and settings."""
    return {
        "photo": photo.stem,
        "level": image.level,
        "split": place.split,
        "group": place.group,
        "hash": f"{place.hash:016x}",
        "shape": list(made.shape),
        "bits": made.bits,
        "native_size": list(made.native_size),
        "identical": image.sha256 == photo.target.sha256,
        "source": {"raw": photo.raw.item.key, "input": image.sha256, "target": photo.target.sha256},
        "input": image.item.record,
        "target": photo.target.item.record,
    }
