"""Pairs made elsewhere, converted to our own format: the one place that knows another range, layout or colour order.

`<stem>_input.npy` and `<stem>_target.npy` may lie flat or below `train`, `val` (`valid`, `validation`) and `test`;
`<photo>~1_input.npy` shares the target of `<photo>`. What the values mean is said, never guessed; what is said is held
against what is there. The foreign files stay as they are, and images keep their size.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from jewelenh.config import Foreign, Pairs
from jewelenh.errors import ConfigError, PairsError
from jewelenh.images import Pixels
from jewelenh.manifest import Item, StoredFile, sha256_of_file
from jewelenh.pairs.check import SLACK, SQUEEZED_BELOW, squeezed_findings
from jewelenh.pairs.contract import SPLITS, Finding, PairsManifest, SplitName, raise_for, reason
from jewelenh.pairs.npy import Array, Header, read_header, view
from jewelenh.pairs.split import leaks
from jewelenh.pairs.writer import write_pairs
from jewelenh.stage import Selection

log = logging.getLogger(__name__)

BOUNDS: Mapping[str, tuple[float, float]] = {"signed": (-1.0, 1.0), "unit": (0.0, 1.0), "grey": (0.0, 255.0)}
CHANNELS: Mapping[Literal["chw", "hwc"], int] = {"chw": 0, "hwc": 2}
"""Axis of the colours."""
FOLDERS: Mapping[str, SplitName] = {name: name for name in SPLITS} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
}


@dataclass(frozen=True)
class _Found:
    """A pair of files, by their paths in the folder."""

    stem: str
    photo: str
    folder: SplitName | None
    input: str
    target: str


@dataclass(frozen=True)
class _Measured:
    """What a file holds, whatever that means."""

    file: StoredFile
    header: Header
    low: float
    high: float


def import_pairs(
    folder: Path, said: Foreign, pairs: Pairs, seed: int, data_dir: Path, *, on_error: str = "stop"
) -> PairsManifest:
    """Convert a foreign folder of pairs into a pairs directory `data_dir/pairs/imported-<fingerprint>`.

    Folders named train, val and test keep their sides; a flat folder is split as one of our own would be. Hashes for
    near-duplicates are taken from the targets, there being no photos. `pairs.size` has no part in it.

    Raises:
        ConfigError: a key that is needed is not said; the message has what was measured.
        PairsError: broken files, normalisation that happened twice, or values that are not what is said.
    """
    folder = Path(folder).expanduser().absolute()
    if (folder / "manifest.json").exists():
        raise PairsError("These pairs have a manifest already.", where=folder, fix=f"check=true directory={folder}")
    found = _find(folder)
    measured = _measure(folder, found)
    said = _meaning(said, found, measured, folder)
    meaning = "imported: " + " ".join(f"{name}={value}" for name, value in asdict(said).items())

    def item(stem: str, path: str, **record: str) -> Item:
        file = measured[path].file
        return Item(stem, file.sha256, {"image": file}, record)

    targets = {pair.photo: pair.target for pair in found}
    photos = Selection(folder, meaning, [item(photo, path) for photo, path in targets.items()], {})
    versions = [item(pair.stem, pair.input, photo=pair.photo) for pair in found]
    given = {pair.photo: pair.folder for pair in found if pair.folder is not None}
    made = write_pairs(
        photos,
        {"imported": Selection(folder, meaning, versions, {})},
        photos,
        "imported",
        replace(pairs, size=None),
        seed,
        data_dir,
        on_error=on_error,
        read=lambda _, path: converted(view(path, read_header(path)), said),
        sides=given or None,
    )
    log.info("import: %s, %d pairs in %s", meaning, len(made.pairs), made.directory)
    n_leaks = len(leaks(made))
    if n_leaks:
        log.warning("import: %d leaks between the sides of the split (check=true shows them)", n_leaks)
    return made


def converted(array: Array, said: Foreign) -> Pixels:
    """Return a foreign image as (H, W, 3) RGB: uint8, or float32 in [-1, 1]."""
    pixels = np.moveaxis(array, CHANNELS[said.layout or "chw"], -1)
    if said.colours == "bgr":
        pixels = pixels[..., ::-1]
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    floats = pixels.astype(np.float32)
    if said.range == "grey":
        floats /= 255
    return np.clip(floats if said.range == "signed" else floats * 2 - 1, -1, 1)


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
        side = FOLDERS.get(name.split("/")[0].lower()) if "/" in name else None
        found.append(_Found(stem, photo, side, name, target))
    lonely = sorted(name for name in there - used if name.endswith("_target.npy"))
    findings += [Finding("missing", "this target has no input", (), (name,)) for name in lonely]
    raise_for(findings, folder, "every <stem>_input.npy needs its <stem>_target.npy")
    if not found:
        expected = "<stem>_input.npy beside <stem>_target.npy"
        raise PairsError("There are no pairs to import.", where=folder, expected=expected)
    sides = {pair.folder for pair in found}
    if None in sides and len(sides) > 1:
        outside = next(pair.input for pair in found if pair.folder is None)
        raise PairsError("Some pairs lie in train, val or test, others do not.", where=folder, found=outside)
    return found


def _measure(folder: Path, found: list[_Found]) -> dict[str, _Measured]:
    """Read every file once; raise one PairsError with all that is invalid whatever it means."""
    paths = sorted({path for pair in found for path in (pair.input, pair.target)})
    with ThreadPoolExecutor(4) as pool:
        results = dict(zip(paths, pool.map(lambda path: _measure_file(folder, path), paths), strict=True))
    problems = [result for result in results.values() if isinstance(result, Finding)]
    raise_for(problems, folder, "save these files again, as RGB arrays of float32")
    return {path: result for path, result in results.items() if isinstance(result, _Measured)}


def _measure_file(folder: Path, path: str) -> _Measured | Finding:
    try:
        header = read_header(folder / path)
        if header.dtype != np.uint8 and header.dtype.kind != "f":
            return Finding("dtype", f"{header.dtype} is neither uint8 nor a float", (), (path,))
        if len(header.shape) != 3 or 3 not in (header.shape[0], header.shape[2]) or 0 in header.shape:
            return Finding("shape", f"{header.shape} is not RGB: neither (3, H, W) nor (H, W, 3)", (), (path,))
        array = view(folder / path, header)
        stored = StoredFile(path, sha256_of_file(folder / path), header.offset + header.n_bytes)
    except (PairsError, OSError) as error:
        return Finding("unreadable", reason(error), (), (path,))
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        return Finding("nan", "NaN or Inf among the values", (), (path,))
    return _Measured(stored, header, low, high)


def _meaning(said: Foreign, found: list[_Found], measured: Mapping[str, _Measured], folder: Path) -> Foreign:
    """Fill in what the files leave no doubt of, demand the rest, and hold all of it against what is there."""
    low, high = min(file.low for file in measured.values()), max(file.high for file in measured.values())
    if low > -1 - 20 * SLACK and high < SQUEEZED_BELOW:
        raise PairsError(
            "These values were normalised twice: x / 127.5 - 1 was applied to values that were in [-1, 1] already.",
            where=folder,
            expected="values over all of their range",
            found=f"values from {low:.5f} to {high:.5f}",
            fix="undo it with (x + 1) * 127.5, save, and import again",
        )
    likely = "signed" if low < -SLACK else "grey" if high > 2 else "unit"
    said = _complete(said, measured, folder, f"values from {low:.4g} to {high:.4g}: range={likely}?")
    bottom, top = BOUNDS[said.range or "signed"]
    width = top - bottom
    ranges = {p: ((f.low - bottom) / width * 2 - 1, (f.high - bottom) / width * 2 - 1) for p, f in measured.items()}
    doubts = squeezed_findings(ranges, "float32" if said.range == "signed" else "uint8")
    if doubts or low < bottom - SLACK * width or high > top + SLACK * width:
        raise PairsError(
            f"The values are not what range={said.range} says.",
            where=folder,
            expected=f"values from {bottom:g} to {top:g}",
            found=f"values from {low:.4g} to {high:.4g} in {len(measured)} files",
            fix=f"range={likely}?",
        )
    problems = []
    for pair in found:
        first, second = (measured[path].header.shape for path in (pair.input, pair.target))
        if first != second:
            what = f"the input is {first}, its target {second}"
            problems.append(Finding("shape", what, (pair.stem,), (pair.input,)))
        if first[CHANNELS[said.layout or "chw"]] != 3:
            problems.append(Finding("shape", f"layout={said.layout}, found {first}", (pair.stem,), (pair.input,)))
    raise_for(problems, folder, "layout=chw is (3, H, W), layout=hwc is (H, W, 3); a pair has one size")
    return said


def _complete(said: Foreign, measured: Mapping[str, _Measured], folder: Path, values: str) -> Foreign:
    """Return the layout of most shapes and the range of uint8; raise ConfigError for what the files do not tell."""
    headers = {path: file.header for path, file in measured.items()}
    missing: dict[str, str] = {}
    if said.layout is None:
        possible = [name for name, axis in CHANNELS.items() if all(h.shape[axis] == 3 for h in headers.values())]
        if len(possible) == 1:
            said = replace(said, layout=possible[0])
        else:
            shapes = ", ".join(map(str, sorted({header.shape for header in headers.values()})[:3]))
            missing["layout=chw|hwc"] = f"shapes {shapes}"
    if said.range is None and all(header.dtype == np.uint8 for header in headers.values()):
        said = replace(said, range="grey")
    elif said.range is None:
        missing["range=signed|unit|grey"] = values
    if said.colours is None:
        path, header = next(iter(headers.items()))
        axes = (1, 2) if header.shape[0] == 3 else (0, 1)
        means = view(folder / path, header).mean(axis=axes, dtype=np.float64)
        missing["colours=rgb|bgr"] = (
            "the first of three channels is red or blue, and in gold red is above blue; in"
            f" {path} the first is {means[0]:.4g} on average and the last {means[2]:.4g}"
        )
    if missing:
        raise ConfigError(
            f"What these values mean is not said: {', '.join(key.split('=')[0] for key in missing)}.",
            where=folder,
            found="\n            ".join(missing.values()),
            fix="add " + " ".join(missing),
        )
    return said
