"""The checks that every run makes before its first batch: all files of all pairs, but only headers and a few rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jewelenh.errors import PairsError
from jewelenh.images import ValueRange
from jewelenh.manifest import StoredFile
from jewelenh.pairs.contract import Finding, Format, Pair, PairsManifest, raise_for, reason
from jewelenh.pairs.npy import Array, Header, read_header, view

SLACK = 1e-3
"""How far a value may lie outside its range: float16 rounds 1 - 1/255 by at most 2.5e-4."""
SQUEEZED_BELOW = -0.98
"""In [-1, 1]; normalising twice gives at most -1 + 2/255 = -0.992, a photo whose brightest level is above 2 more."""
BOUNDS: Mapping[ValueRange, tuple[float, float]] = {"signed": (-1.0, 1.0), "unit": (0.0, 1.0), "grey": (0.0, 255.0)}


@dataclass(frozen=True)
class Seen:
    """Lowest and highest value of (some of) a file, in the units it is stored in; NaN where it has NaN or Inf."""

    low: float
    high: float


def quick_check(manifest: PairsManifest, pairs: Iterable[Pair] | None = None) -> dict[str, Header]:
    """Hold every file against the manifest without reading it whole; return the headers by relative path.

    Raises:
        PairsError: one, with every problem: missing, truncated or foreign files, shape, dtype, order, NaN, range, and
            values that were normalised twice.
    """
    pairs = list(manifest.pairs if pairs is None else pairs)
    shapes = {file.path: pair for pair in pairs for file in (pair.input, pair.target)}
    files = {file.path: file for pair in pairs for file in (pair.input, pair.target)}
    headers: dict[str, Header] = {}
    findings: list[Finding] = []
    seen: dict[str, Seen] = {}
    with ThreadPoolExecutor(8) as pool:
        for path, (header, problems, found) in zip(
            files, pool.map(lambda path: _look(manifest, files[path], shapes[path]), files), strict=True
        ):
            findings += problems
            if header is not None and found is not None:
                headers[path], seen[path] = header, found
    raise_for(squeezed_findings(seen, manifest.format) + findings, manifest.directory)
    return headers


def _look(manifest: PairsManifest, file: StoredFile, pair: Pair) -> tuple[Header | None, list[Finding], Seen | None]:
    path = manifest.path(file)
    header, problems = header_findings(path, file, pair, manifest.format)
    if header is None or problems:
        return None, problems, None
    try:
        seen = extremes(_some_rows(view(path, header), manifest.format))
    except PairsError as error:
        return None, [Finding("unreadable", reason(error), (pair.stem,), (file.path,))], None
    return header, value_findings(seen, file.path, pair.stem, manifest.format), seen


def header_findings(path: Path, file: StoredFile, pair: Pair, layout: Format) -> tuple[Header | None, list[Finding]]:
    """Return the header, None where there is none to trust, and what is wrong with it."""
    try:
        header = read_header(path)
    except PairsError as error:
        return None, [Finding(_kind_of(error), reason(error), (pair.stem,), (file.path,))]
    problems = []

    def expect(check: str, expected: object, found: object) -> None:
        if expected != found:
            what = f"expected {expected}, found {found}"
            problems.append(Finding(check, what, (pair.stem,), (file.path,)))

    expect("shape", pair.shape, header.shape)
    expect("dtype", np.dtype(layout.dtype), header.dtype)
    expect("order", "C order", "Fortran order" if header.fortran and len(header.shape) > 1 else "C order")
    if not problems:
        expect("size", f"{file.bytes} bytes", f"{header.offset + header.n_bytes} bytes")
    return header, problems


def _kind_of(error: PairsError) -> str:
    known = {"missing": "missing", "objects": "objects", "truncated": "truncated", "longer": "truncated"}
    return next((check for word, check in known.items() if word in error.what), "unreadable")


def _some_rows(array: Array, layout: Format) -> Array:
    """Return the first, the middle and the last row of an image, all colours."""
    axis = 1 if layout.layout == "chw" else 0
    return np.asarray(array.take([0, array.shape[axis] // 2, -1], axis=axis))


def extremes(array: Array) -> Seen:
    """Return the range of an array; the lowest and the highest value carry any NaN or Inf with them."""
    return Seen(float(array.min()), float(array.max())) if array.size else Seen(np.nan, np.nan)


def value_findings(seen: Seen, path: str, stem: str, layout: Format) -> list[Finding]:
    """Return what is wrong with a file's values, looked at alone."""
    if layout.dtype == "uint8":
        return []
    if not np.isfinite([seen.low, seen.high]).all():
        return [Finding("nan", "NaN or Inf among the values", (stem,), (path,))]
    low, high = BOUNDS[layout.range]
    slack = SLACK * (high - low)
    if seen.low < low - slack or seen.high > high + slack:
        what = f"expected [{low:g}, {high:g}], found [{seen.low:g}, {seen.high:g}]"
        return [Finding("range", what, (stem,), (path,))]
    return []


def squeezed_findings(seen: Mapping[str, Seen], layout: Format) -> list[Finding]:
    """Look at all files together: values normalised twice lie near -1, values of [0, 1] never go below 0.

    One file alone may be a black photo, or a white one; a data set of them is a mistake.
    """
    seen = {path: s for path, s in seen.items() if np.isfinite([s.low, s.high]).all()}
    if not seen:
        return []
    low, high = BOUNDS[layout.range] if layout.dtype != "uint8" else BOUNDS["grey"]
    to_signed = {path: Seen(_signed(s.low, low, high), _signed(s.high, low, high)) for path, s in seen.items()}
    top, bottom = max(s.high for s in to_signed.values()), min(s.low for s in to_signed.values())
    if top < SQUEEZED_BELOW:
        what = (
            f"all {len(seen)} files lie in [{bottom:.4f}, {top:.4f}]: they were normalised twice (x / 127.5 - 1 again)"
        )
        return [Finding("normalised twice", what)]
    if layout.dtype != "uint8" and layout.range == "signed" and bottom > -SLACK and len(seen) >= 8:
        what = f"no value below 0 in {len(seen)} files: these are [0, 1] and not [-1, 1]"
        return [Finding("range", what)]
    return []


def _signed(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) * 2 - 1
