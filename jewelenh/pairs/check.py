"""Pairs held against their manifest: a few rows of every file before each run, or everything, with a report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jewelenh.errors import PairsError
from jewelenh.files import write_atomically
from jewelenh.hardware import n_cores
from jewelenh.images import grey_levels, resize
from jewelenh.manifest import StoredFile, sha256_of_file
from jewelenh.pairs.contract import SPLITS, Finding, Pair, PairsManifest, raise_for, read_pairs, reason
from jewelenh.pairs.npy import Array, Header, read_header, view
from jewelenh.pairs.split import leaks
from jewelenh.progress import progress

REPORT = "doctor.json"
SLACK = 1e-3
"""How far a value may lie outside [-1, 1]: float16 rounds 1 - 1/255 by at most 2.5e-4."""
SQUEEZED_BELOW = -0.98
"""Normalising twice gives at most -1 + 2/255 = -0.992, a photo whose brightest level is above 2 more."""
MAX_ERROR_LEFT = 0.9
"""A pair is misaligned when moving it back leaves less than this share of its RMS error; real pairs leave 0.997."""
KINDS = {"missing": "missing", "objects": "objects", "truncated": "truncated", "longer": "truncated"}
"""The check that a word in the error of a file that cannot be read belongs to."""
Range = tuple[float, float]
"""Lowest and highest value in [-1, 1], whatever the storage; NaN where there is NaN or Inf."""


@dataclass
class _Look:
    """What looking at one file told; without a header there was nothing to trust."""

    findings: list[Finding]
    header: Header | None = None
    array: Array | None = None
    """(3, h, w) as stored: some rows or all."""
    range: Range = (np.nan, np.nan)


def quick_check(manifest: PairsManifest, pairs: Iterable[Pair] | None = None) -> dict[str, Header]:
    """Hold every file against the manifest without reading it whole; return the headers by relative path.

    Raises:
        PairsError: one, with every problem: missing, truncated or foreign files, shape, dtype, order, NaN, range, and
            values that were normalised twice.
    """
    pairs = list(manifest.pairs if pairs is None else pairs)
    files = {file.path: (pair, file) for pair in pairs for file in pair.files}
    with ThreadPoolExecutor(8) as pool:
        looks = dict(zip(files, pool.map(lambda at: _look(manifest, *at, whole=False), files.values()), strict=True))
    ranges = {path: look.range for path, look in looks.items()}
    problems = [finding for look in looks.values() for finding in look.findings]
    raise_for(squeezed_findings(ranges, manifest.format.dtype) + problems, manifest.directory)
    return {path: look.header for path, look in looks.items() if look.header is not None}


def _look(manifest: PairsManifest, pair: Pair, file: StoredFile, *, whole: bool) -> _Look:
    """Look at a file's header and some of its rows, or read it whole and verify its sha256."""
    path = manifest.path(file)

    def problem(check: str, what: str) -> Finding:
        return Finding(check, what, (pair.stem,), (file.path,))

    try:
        header = read_header(path)
        expected = {
            "shape": (pair.shape, header.shape),
            "dtype": (np.dtype(manifest.format.dtype), header.dtype),
            "order": ("C order", "Fortran order" if header.fortran else "C order"),
        }
        findings = [problem(name, f"expected {a}, found {b}") for name, (a, b) in expected.items() if a != b]
        if findings:
            return _Look(findings)
        mapped = view(path, header)
        array = np.array(mapped) if whole else mapped[:, [0, mapped.shape[1] // 2, -1]]
        if whole and (found := sha256_of_file(path)) != file.sha256:
            what = f"the content is not the one written: sha256 {found[:12]}, manifest {file.sha256[:12]}"
            findings.append(problem("hash", what))
    except (OSError, PairsError) as error:
        what = reason(error)
        kind = next((check for word, check in KINDS.items() if word in what), "unreadable")
        if kind == "missing":
            partner = pair.target if file is pair.input else pair.input
            what += f" (its partner {'is there' if manifest.path(partner).is_file() else 'is missing too'})"
        return _Look([problem(kind, what)])
    low, high = range_of(array)
    if not np.isfinite([low, high]).all():
        findings.append(problem("nan", "NaN or Inf among the values"))
    elif low < -1 - 2 * SLACK or high > 1 + 2 * SLACK:
        findings.append(problem("range", f"expected [-1, 1], found [{low:g}, {high:g}]"))
    return _Look(findings, header, array, (low, high))


def range_of(array: Array) -> Range:
    """Return the extremes of uint8 or of floats in [-1, 1]; the lowest and the highest carry any NaN or Inf along."""
    if not array.size:
        return np.nan, np.nan
    low, high = float(array.min()), float(array.max())
    return (low / 127.5 - 1, high / 127.5 - 1) if array.dtype == np.uint8 else (low, high)


def squeezed_findings(ranges: Mapping[str, Range], dtype: str) -> list[Finding]:
    """Look at all files together: values normalised twice lie near -1, values of [0, 1] never go below 0.

    One file alone may be a black photo, or a white one; a data set of them is a mistake.
    """
    known = [found for found in ranges.values() if np.isfinite(found).all()]
    if not known:
        return []
    bottom, top = min(low for low, _ in known), max(high for _, high in known)
    if top < SQUEEZED_BELOW:
        what = f"all {len(known)} files lie in [{bottom:.4f}, {top:.4f}]: normalised twice (x / 127.5 - 1 again)"
        return [Finding("normalised twice", what)]
    if dtype != "uint8" and bottom > -SLACK and len(known) >= 8:
        return [Finding("range", f"no value below 0 in {len(known)} files: these are [0, 1] and not [-1, 1]")]
    return []


@dataclass(frozen=True)
class Diagnosis:
    """What was found in a pairs directory."""

    directory: Path
    n_pairs: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """Return the findings that make the pairs unusable."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        counts = Counter(finding.check for finding in self.findings)
        return {
            "n_pairs": self.n_pairs,
            "n_errors": len(self.errors),
            "n_warnings": len(self.findings) - len(self.errors),
            "by_check": dict(sorted(counts.items())),
            "findings": [asdict(finding) for finding in self.findings],
        }


def check(directory: Path) -> Diagnosis:
    """Examine, print the table, and raise PairsError where there are errors."""
    diagnosis = examine(directory)
    _show(diagnosis)
    raise_for(list(diagnosis.findings), diagnosis.directory)
    return diagnosis


def examine(directory: Path) -> Diagnosis:
    """Read a pairs directory whole, write `doctor.json` beside its manifest and return what was found.

    Raises:
        PairsError: there is no manifest to hold the files against.
    """
    manifest = read_pairs(directory)
    ranges: dict[str, Range] = {}
    findings: dict[tuple[str, tuple[str, ...]], Finding] = {}  # each version of a photo reads its target: told once
    with ThreadPoolExecutor(min(8, n_cores())) as pool, progress("check", len(manifest.pairs), "pairs") as advance:
        for pair, looks in zip(manifest.pairs, pool.map(lambda p: _examine(manifest, p), manifest.pairs), strict=True):
            ranges.update({file.path: look.range for file, look in zip(pair.files, looks, strict=True)})
            for finding in (finding for look in looks for finding in look.findings):
                findings.setdefault((finding.check, finding.files), finding)
            advance()
    together = [*_stray_files(manifest), *leaks(manifest)]
    together += [Finding("empty", f"no pair in {s}", severity="warning") for s in SPLITS if not manifest.split(s)]
    found = (*squeezed_findings(ranges, manifest.format.dtype), *findings.values(), *together)
    diagnosis = Diagnosis(manifest.directory, len(manifest.pairs), found)
    data = json.dumps(diagnosis.as_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(manifest.directory / REPORT, data.encode())
    return diagnosis


def _show(diagnosis: Diagnosis) -> None:
    """Print the findings as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=not diagnosis.findings)
    if not diagnosis.findings:
        console.print(f"{diagnosis.n_pairs} pairs keep the contract: {diagnosis.directory}", highlight=False)
        return
    table = Table(title=f"{diagnosis.n_pairs} pairs in {diagnosis.directory.name}", title_justify="left")
    for column in ("check", "", "where", "what"):
        table.add_column(column, overflow="fold")
    for finding in diagnosis.findings:
        where = "\n".join((finding.files or finding.stems)[:2])
        table.add_row(finding.check, finding.severity, where, finding.what)
    console.print(table)
    console.print(f"{diagnosis.directory / REPORT}", highlight=False, soft_wrap=True)


def _examine(manifest: PairsManifest, pair: Pair) -> list[_Look]:
    """Read the files of a pair whole; where both are good, hold them against each other."""
    looks = [_look(manifest, pair, file, whole=True) for file in pair.files]
    images = [grey_levels(look.array) for look in looks[:2] if look.array is not None and not look.findings]
    if len(images) == 2:
        looks[0].findings = compare(images[0], images[1], pair)
    return [replace(look, array=None) for look in looks]


def compare(image_input: Array, image_target: Array, pair: Pair) -> list[Finding]:
    """Hold the values of two (3, H, W) uint8 images of one pair against each other."""

    def finding(check: str, what: str, is_error: bool = True) -> list[Finding]:
        files = (pair.input.path, pair.target.path)
        return [Finding(check, what, (pair.stem,), files, "error" if is_error else "warning")]

    if np.array_equal(image_input, image_target):
        known = bool(pair.record.get("identical"))  # a draw in which no step fired
        return finding("identical", "input and target are the same" + (", as written" if known else ""), not known)
    squeezed = [bool(image.max() / 127.5 - 1 < SQUEEZED_BELOW) for image in (image_input, image_target)]
    if squeezed[0] != squeezed[1]:
        which = "input" if squeezed[0] else "target"
        return finding("normalised twice", f"the {which} is squeezed near -1, its partner is not")
    if all(squeezed):
        return finding("normalised twice", "both are nearly black, or were normalised twice", is_error=False)
    if _colours_swapped(image_input, image_target):
        return finding("colours", "red and blue are swapped between input and target")
    down, right = shift_between(image_input, image_target)
    if is_misaligned(image_input, image_target, (down, right)):
        return finding("misaligned", f"the input lies {down:+d} px down and {right:+d} px right of its target")
    return []


def _colours_swapped(image_input: Array, image_target: Array) -> bool:
    """Say whether the thumbnails agree far better with red and blue exchanged; grey jewellery never says so."""
    images = (image_input.transpose(1, 2, 0), image_target.transpose(1, 2, 0))
    small = [resize(image, 32, 32, "area").astype(np.float32) for image in images]
    straight, swapped = np.abs(small[0] - small[1]).mean(), np.abs(small[0][..., ::-1] - small[1]).mean()
    return bool(straight > 2 and swapped < 0.5 * straight)


def shift_between(image_input: Array, image_target: Array) -> tuple[int, int]:
    """Return how far one (3, H, W) image lies (below, to the right of) another, in pixels, by phase correlation.

    Kuglin and Hines, 1975. Blur and noise as strong as the severe level's leave it nothing to find: what it then
    reports is chance, tens of pixels at times (experiments/pair_alignment).
    """
    height, width = image_target.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    greys = [image.mean(axis=0, dtype=np.float32) for image in (image_input, image_target)]
    first, second = (np.fft.rfft2((grey - grey.mean()) * window) for grey in greys)
    product = first * np.conj(second)
    size = np.abs(product)
    correlation = np.fft.irfft2(np.where(size > 1e-6, product / np.maximum(size, 1e-6), 0), (height, width))
    row, column = np.unravel_index(int(correlation.argmax()), (height, width))
    return (int(row) + height // 2) % height - height // 2, (int(column) + width // 2) % width - width // 2


def is_misaligned(image_input: Array, image_target: Array, shift: tuple[int, int]) -> bool:
    """Say whether moving the input back by `shift` really brings it much nearer to its target."""
    (down, right), (height, width) = shift, image_target.shape[1:]
    if down == right == 0 or abs(down) > height // 4 or abs(right) > width // 4:
        return False
    inner = (slice(abs(down), height - abs(down)), slice(abs(right), width - abs(right)))
    greys = [image.mean(axis=0, dtype=np.float32) for image in (image_input, image_target)]
    moved = np.roll(greys[0], (-down, -right), axis=(0, 1))
    before, after = (float(np.square((grey - greys[1])[inner]).mean()) for grey in (greys[0], moved))
    return after < MAX_ERROR_LEFT**2 * before


def _stray_files(manifest: PairsManifest) -> list[Finding]:
    """Find tensors that the manifest does not know; nothing reads them."""
    listed = {file.path for pair in manifest.pairs for file in pair.files}
    there = {path.relative_to(manifest.directory).as_posix() for path in manifest.directory.rglob("*.npy")}
    findings = []
    for path in sorted(there - listed):
        stem, _, role = path.rpartition("_")
        partner = {"input.npy": "_target.npy", "target.npy": "_input.npy"}.get(role)
        is_lonely = partner is not None and stem + partner not in there
        what = "the manifest does not list this file" + (", and its partner is missing" if is_lonely else "")
        findings.append(Finding("unlisted", what, (), (path,), "warning"))
    return findings
