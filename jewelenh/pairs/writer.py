"""Turns enhanced photos into a pairs directory: a data set that is complete, split, and never changes afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jewelenh.config import Pairs
from jewelenh.errors import ImageError, JewelenhError, PairsError, StageError
from jewelenh.hardware import n_cores
from jewelenh.manifest import Item, canonical_json, read_manifest, sha256_of
from jewelenh.pairs.contract import KIND, SPLITS, Format, PairsManifest, SplitName, from_manifest
from jewelenh.pairs.split import assign, group_photos, perceptual_hash
from jewelenh.pairs.tensors import Read, TensorFile, Tensors, read_photo_pixels, read_verified
from jewelenh.progress import progress
from jewelenh.stage import Selection, Stage, check_failures, open_stage

log = logging.getLogger(__name__)


def write_pairs(
    raw: Selection,
    inputs: Selection,
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
    """Write and split the pairs of one degradation level below `data_dir/pairs`, or find them there already.

    `raw` and `targets` have one item per photo, `inputs` one per degraded version, with the photo's stem in its record.
    Every `input` without a `target` or an original is a failure, and so is a file that is not what its manifest says.
    Content that another pairs directory of the same format holds already is linked from there. `read` turns files into
    images; `sides` says who goes where, by photo, in place of the seeded split.

    Raises:
        PairsError: there is nothing to pair.
        ItemsFailedError: some pairs could not be made and `on_error` is not `skip`.
    """
    work, orphans = _plan(raw, inputs, targets)
    if not work:
        raise PairsError("There is nothing to pair.", where=inputs.directory, found=f"{len(inputs.items)} inputs")
    upstream = {"raw": raw.fingerprint, "inputs": inputs.fingerprint, "targets": targets.fingerprint}
    spec = _spec(work, upstream, level, pairs, seed)
    parent = Path(data_dir).absolute() / "pairs"
    with open_stage(parent, level, KIND, spec) as stage:
        for stem, why in orphans.items():
            stage.fail(stem, why)
        tensors = Tensors(stage.directory, pairs, spec["format"], read)
        missing = [photo for photo in work if not photo.is_finished(stage)]
        n_linked = 0
        if missing:
            places = _places(stage, work, pairs, seed, read, sides)
            n_linked = _write_all(stage, [photo for photo in missing if photo.raw.stem in places], places, tensors)
        selection = stage.commit([item.stem for photo in work for item in photo.inputs] + list(orphans))
        manifest = read_manifest(stage.directory)
    assert manifest is not None
    n_made, n_there = selection.n_made - n_linked, len(selection.items) - selection.n_made
    log.info("%s: %d made, %d linked, %d there already", stage.directory.name, n_made, n_linked, n_there)
    check_failures(selection, f"pair {level}", on_error)
    return replace(from_manifest(manifest), n_made=n_made, n_linked=n_linked)


@dataclass(frozen=True)
class _PhotoWork:
    """One photo: its original, its target and its inputs."""

    raw: Item
    raw_file: Path
    target: Item
    target_file: Path
    inputs: tuple[Item, ...]
    input_files: tuple[Path, ...]

    def key(self, item: Item) -> str:
        """Return what a pair is made from: the content of both images and of the original."""
        return f"{_sha256(item)}+{_sha256(self.target)}+{self.raw.key}"

    def is_finished(self, stage: Stage) -> bool:
        """Say whether every pair of this photo is there."""
        return all(stage.is_finished(item.stem, self.key(item)) for item in self.inputs)


def _sha256(item: Item) -> str:
    return item.files["image"].sha256


def _plan(raw: Selection, inputs: Selection, targets: Selection) -> tuple[list[_PhotoWork], dict[str, str]]:
    """Bring together what belongs together; return the work in the order of the photos, and inputs that lack a part."""
    raws = {item.stem: item for item in raw.items}
    made = {item.stem: item for item in targets.items}
    by_photo: dict[str, list[Item]] = {}
    orphans: dict[str, str] = {}
    for item in inputs.items:
        photo = str(item.record.get("photo", item.stem))
        if photo in raws and photo in made:
            by_photo.setdefault(photo, []).append(item)
        else:
            orphans[item.stem] = f"its photo {photo!r} has no {'target' if photo in raws else 'original'}"
    work = []
    for photo in sorted(by_photo):
        items = tuple(sorted(by_photo[photo], key=lambda item: item.stem))
        files = tuple(inputs.file(item) for item in items)
        work.append(
            _PhotoWork(raws[photo], raw.file(raws[photo]), made[photo], targets.file(made[photo]), items, files)
        )
    return work, orphans


def _spec(work: list[_PhotoWork], upstream: Mapping[str, str], level: str, pairs: Pairs, seed: int) -> dict[str, Any]:
    """Return everything that decides the directory's content, the photos included."""
    contents = sorted([item.stem, photo.key(item)] for photo in work for item in photo.inputs)
    return {
        "format": asdict(Format(pairs.dtype, pairs.size, pairs.resample)),
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
    hashes: dict[str, int] = {}
    with ThreadPoolExecutor(min(8, n_cores())) as pool:
        futures = {pool.submit(_hash_of, photo, read): photo for photo in work}
        for future in as_completed(futures):
            photo = futures[future]
            try:
                hashes[photo.raw.stem] = future.result()
            except ImageError as error:
                for item in photo.inputs:
                    stage.fail(item.stem, str(error))
    groups = group_photos(hashes, pairs.split.near_duplicate_bits, seed)
    sides = assign(groups, pairs.split, seed) if given is None else given
    _say_split(sides, groups)
    return {stem: _Place(sides[stem], groups[stem], hashes[stem]) for stem in hashes}


def _write_all(stage: Stage, photos: list[_PhotoWork], places: Mapping[str, _Place], tensors: Tensors) -> int:
    """Write the photos side by side, each for itself; return how many pairs were linked whole."""
    n_linked, label = 0, f"pair {stage.directory.name}"
    with ThreadPoolExecutor(min(8, n_cores())) as pool, progress(label, len(photos)) as advance:
        jobs = [pool.submit(_write_photo, stage, photo, places[photo.raw.stem], tensors) for photo in photos]
        try:
            for job in as_completed(jobs):
                n_linked += job.result()
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return n_linked


def _hash_of(photo: _PhotoWork, read: Read) -> int:
    fix = "it was changed after it was indexed: run again, after `touch` where it keeps an old time"
    return perceptual_hash(read_verified(photo.raw_file, _sha256(photo.raw), read, fix))


def _say_split(sides: Mapping[str, SplitName], groups: Mapping[str, str]) -> None:
    n_groups = len(set(groups.values()))
    counts = {name: sum(side == name for side in sides.values()) for name in SPLITS}
    shares = ", ".join(f"{n} {name}" for name, n in counts.items())
    log.info("split: %d photos in %d groups: %s", len(groups), n_groups, shares)
    if n_groups < 3:
        log.warning("only %d group(s) of photos: not every split has one (%s)", n_groups, shares)


def _write_photo(stage: Stage, photo: _PhotoWork, place: _Place, tensors: Tensors) -> int:
    """Write one photo's target and inputs; JewelenhErrors of its images become failures of its pairs."""
    folder, missing, n_linked = place.split, list(photo.inputs), 0
    try:
        target = tensors.write(photo.target_file, _sha256(photo.target), f"{folder}/{photo.target.stem}_target.npy")
        for item, source in zip(photo.inputs, photo.input_files, strict=True):
            made = tensors.write(source, _sha256(item), f"{folder}/{item.stem}_input.npy")
            _check_same_size(made, target, item.stem)
            files = {"input": made.file, "target": target.file}
            stage.note(item.stem, photo.key(item), files, _record(photo, item, place, made))
            n_linked += made.was_linked and target.was_linked
            missing.remove(item)
    except StageError:
        raise  # the disk, not the photo
    except JewelenhError as error:
        for item in missing:
            stage.fail(item.stem, str(error))
    return n_linked


def _record(photo: _PhotoWork, item: Item, place: _Place, made: TensorFile) -> dict[str, Any]:
    """Return what lets a pair be traced back to its photo, draw, weights and settings."""
    return {
        "photo": photo.raw.stem,
        "split": place.split,
        "group": place.group,
        "hash": f"{place.hash:016x}",
        "shape": list(made.shape),
        "bits": made.bits,
        "native_size": list(made.native_size),
        "identical": _sha256(item) == _sha256(photo.target),
        "source": {"raw": photo.raw.key, "input": _sha256(item), "target": _sha256(photo.target)},
        "input": item.record,
        "target": photo.target.record,
    }


def _check_same_size(made: TensorFile, target: TensorFile, stem: str) -> None:
    if made.native_size != target.native_size:
        found = f"{made.native_size} and {target.native_size}"
        raise PairsError("Input and target differ in size, so they cannot be aligned.", where=stem, found=found)
