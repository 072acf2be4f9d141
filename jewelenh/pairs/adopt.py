"""Writes the manifest that someone else's folder of pairs lacks, after saying what its values mean and why.

`<stem>_input.npy` and `<stem>_target.npy` may lie flat or below `train`, `val` (`valid`, `validation`) and `test`;
`<photo>~1_input.npy` shares the target of `<photo>`. The files stay as they are, where they are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from jewelenh.config import Split, nearest
from jewelenh.errors import ConfigError, PairsError
from jewelenh.files import lock, write_atomically
from jewelenh.images import ValueRange, grey_levels
from jewelenh.manifest import Item, StoredFile, canonical_json, manifest_bytes, sha256_of
from jewelenh.pairs.belief import Belief, Sample, believe
from jewelenh.pairs.contract import KIND, Finding, Format, PairsManifest, SplitName, raise_for, read_pairs, reason
from jewelenh.pairs.npy import read_header, view
from jewelenh.pairs.split import assign, group_photos, perceptual_hash
from jewelenh.pairs.store import planes, sha256_of_npy

log = logging.getLogger(__name__)

FOLDERS: Mapping[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class Override:
    """What the user knows better than it can be seen; None leaves it to the files."""

    range: ValueRange | None = None
    layout: Literal["chw", "hwc"] | None = None
    colours: Literal["rgb", "bgr"] | None = None

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Override:
        """Check the values of the `believe` keys; raise ConfigError."""
        allowed = {"range": get_args(ValueRange), "layout": ("chw", "hwc"), "colours": ("rgb", "bgr")}
        for name, value in values.items():
            if name not in allowed:
                raise ConfigError(f"believe.{name}: there is no such key.{nearest(name, list(allowed))}")
            if value is not None and value not in allowed[name]:
                options = ", ".join(allowed[name])
                hint = nearest(str(value), list(allowed[name]))
                raise ConfigError(f"believe.{name} = {value!r}: allowed is {options}.{hint}")
        return cls(**values)


@dataclass(frozen=True)
class _Found:
    """A pair of files."""

    stem: str
    photo: str
    folder: SplitName | None
    input: str
    target: str


def adopt(folder: Path, split: Split, seed: int, override: Override | None = None) -> PairsManifest:
    """Inspect a foreign folder, say what is believed of it, and write its `manifest.json`.

    Folders named train, val and test keep their sides; a flat folder is split as one of our own would be.

    Raises:
        PairsError: broken files, normalisation that happened twice, or values whose meaning cannot be told: then with
            the override that settles it.
    """
    folder = Path(folder).expanduser().absolute()
    if (folder / "manifest.json").exists():
        raise PairsError("These pairs have a manifest already.", where=folder, fix=f"check=true directory={folder}")
    found = _find(folder)
    samples = _sample(folder, found)
    belief = believe(samples, asdict(override or Override()), folder)
    for line in belief.reasons:
        log.info("adopt: %s", line)
    _check_shapes(found, samples, folder)
    items = _items(folder, found, samples, belief, split, seed)
    contents = [[item.stem, item.key] for item in items.values()]
    spec = {
        "format": asdict(belief.format),
        "level": "adopted",
        "split": {"seed": seed, **asdict(split)},
        "upstream": {"adopted": list(belief.reasons)},
        "photos": {"n": len({pair.photo for pair in found}), "sha256": sha256_of(canonical_json(contents).encode())},
    }
    with lock(folder / ".lock", exclusive=True):
        write_atomically(folder / "manifest.json", manifest_bytes(KIND, spec, items, {}))
    counts = Counter(item.record["split"] for item in items.values())
    log.info("adopt: %d pairs (%s) in %s", len(items), ", ".join(f"{n} {k}" for k, n in counts.items()), folder)
    _say_leaks(items)
    return read_pairs(folder)


def _find(folder: Path) -> list[_Found]:
    """Pair the files by name; raise PairsError for what lacks a partner."""
    if not folder.is_dir():
        raise PairsError("There is no such folder.", where=folder)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.npy")}
    findings, found, used = [], [], set()
    for name in sorted(name for name in there if name.endswith("_input.npy")):
        stem = name.removesuffix("_input.npy")
        base, _, variant = stem.rpartition("~")
        photo = base if variant.isdigit() and f"{stem}_target.npy" not in there else stem
        target = f"{photo}_target.npy"
        used |= {name, target}
        if target not in there:
            findings.append(Finding("missing", "this input has no target", (stem,), (name,)))
        found.append(
            _Found(stem, photo, FOLDERS.get(name.split("/")[0].lower()) if "/" in name else None, name, target)
        )
    lonely = sorted(name for name in there - used if name.endswith("_target.npy"))
    findings += [Finding("missing", "this target has no input", (), (name,)) for name in lonely]
    raise_for(findings, folder)
    if not found:
        raise PairsError(
            "There are no pairs to adopt.", where=folder, expected="<stem>_input.npy beside <stem>_target.npy"
        )
    sides = {pair.folder for pair in found}
    if None in sides and len(sides) > 1:
        outside = next(pair.input for pair in found if pair.folder is None)
        raise PairsError("Some pairs lie in train, val or test, others do not.", where=folder, found=outside)
    return found


def _sample(folder: Path, found: list[_Found]) -> dict[str, Sample]:
    """Read every file once; raise one PairsError with all that cannot be read."""
    paths = sorted({path for pair in found for path in (pair.input, pair.target)})
    with ThreadPoolExecutor(4) as pool:
        results = dict(zip(paths, pool.map(lambda path: _sample_of(folder, path), paths), strict=True))
    raise_for([result for result in results.values() if isinstance(result, Finding)], folder)
    return {path: cast(Sample, sample) for path, sample in results.items()}


def _sample_of(folder: Path, path: str) -> Sample | Finding:
    try:
        header = read_header(folder / path)
        if header.fortran and len(header.shape) > 1:
            return Finding("order", "Fortran order: save it with np.ascontiguousarray", (), (path,))
        array = view(folder / path, header)
        low, high = (float(array.min()), float(array.max())) if array.size else (np.nan, np.nan)
        axes = {"chw": (1, 2), "hwc": (0, 1)} if array.ndim == 3 else {}
        means = {name: tuple(array.mean(axis=over, dtype=np.float64).tolist()) for name, over in axes.items()}
        stored = StoredFile(path, sha256_of_npy(folder / path), (folder / path).stat().st_size)
    except (PairsError, OSError, TypeError) as error:
        return Finding("unreadable", reason(error), (), (path,))
    return Sample(stored, header.shape, header.dtype, low, high, means)


def _check_shapes(found: list[_Found], samples: Mapping[str, Sample], folder: Path) -> None:
    findings = [
        Finding("shape", f"{samples[pair.input].shape} and {samples[pair.target].shape}", (pair.stem,), (pair.input,))
        for pair in found
        if samples[pair.input].shape != samples[pair.target].shape
    ]
    raise_for(findings, folder)


def _items(
    folder: Path, found: list[_Found], samples: Mapping[str, Sample], belief: Belief, split: Split, seed: int
) -> dict[str, Item]:
    """Return the manifest's items; hashes for near-duplicates are taken from the targets, there being no photos."""
    targets = {pair.photo: pair.target for pair in found}
    hashes = {photo: _hash_of(folder / path, belief.format) for photo, path in targets.items()}
    groups = group_photos(hashes, split.near_duplicate_bits, seed)
    sides = assign(groups, split, seed)
    items = {}
    for pair in found:
        given = samples[pair.input], samples[pair.target]
        record = {
            "photo": pair.photo,
            "split": pair.folder or sides[pair.photo],
            "group": groups[pair.photo],
            "hash": f"{hashes[pair.photo]:016x}",
            "shape": list(given[0].shape),
            "identical": given[0].file.sha256 == given[1].file.sha256,
            "source": {"input": None, "target": None},
        }
        files = {"input": given[0].file, "target": given[1].file}
        items[pair.stem] = Item(pair.stem, f"{given[0].file.sha256}+{given[1].file.sha256}", files, record)
    return items


def _say_leaks(items: Mapping[str, Item]) -> None:
    sides: dict[str, set[str]] = {}
    for item in items.values():
        sides.setdefault(item.record["group"], set()).add(item.record["split"])
    n_leaks = sum(len(splits) > 1 for splits in sides.values())
    if n_leaks:
        log.warning(
            "adopt: %d groups of near-duplicates lie on both sides of the split (check=true shows them)", n_leaks
        )


def _hash_of(path: Path, layout: Format) -> int:
    image = planes(view(path, read_header(path)), layout)
    return perceptual_hash(grey_levels(np.asarray(image), layout.range).transpose(1, 2, 0))
