"""Reads every pair once and reports everything that is wrong with them together."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jewelenh.errors import PairsError
from jewelenh.files import write_atomically
from jewelenh.images import grey_levels, resize
from jewelenh.manifest import StoredFile
from jewelenh.pairs.alignment import CommonShift, cross_phase, misaligned, shift_of
from jewelenh.pairs.check import SQUEEZED_BELOW, Seen, extremes, header_findings, squeezed_findings, value_findings
from jewelenh.pairs.contract import SPLITS, Finding, Pair, PairsManifest, raise_for, read_pairs, reason
from jewelenh.pairs.npy import Array, view
from jewelenh.pairs.split import near_pairs
from jewelenh.pairs.store import planes, sha256_of_npy
from jewelenh.progress import progress

log = logging.getLogger(__name__)

REPORT = "doctor.json"


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


def examine(directory: Path) -> Diagnosis:
    """Read a pairs directory whole, write `doctor.json` beside its manifest and return what was found.

    Raises:
        PairsError: there is no manifest to hold the files against.
    """
    manifest = read_pairs(directory)
    seen: dict[str, Seen] = {}
    common = CommonShift()
    findings: list[Finding] = []
    n_threads = min(8, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(n_threads) as pool, progress("check", len(manifest.pairs), "pairs") as advance:
        for found in pool.map(lambda pair: _examine_pair(manifest, pair), manifest.pairs):
            findings += found.findings
            seen.update(found.seen)
            if found.phase is not None:
                common.add(found.phase, found.side)
            advance()
    findings = squeezed_findings(seen, manifest.format) + _once(findings)  # each version of a photo reads its target
    for side, shift in common.found().items():
        what = f"all inputs of {side[0]} x {side[1]} together lie {shift} of their targets"
        findings.append(Finding("misaligned", what))
    findings += [*_stray_files(manifest), *_leaks(manifest), *_empty_splits(manifest)]
    diagnosis = Diagnosis(manifest.directory, len(manifest.pairs), tuple(findings))
    data = json.dumps(diagnosis.as_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(manifest.directory / REPORT, data.encode())
    return diagnosis


def check(directory: Path) -> Diagnosis:
    """Examine, print the table, and raise PairsError where there are errors."""
    diagnosis = examine(directory)
    show(diagnosis)
    raise_for(list(diagnosis.findings), diagnosis.directory)
    return diagnosis


def show(diagnosis: Diagnosis) -> None:
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


@dataclass
class _PairFound:
    """What reading one pair told."""

    findings: list[Finding]
    seen: dict[str, Seen]
    phase: Array | None = None
    side: tuple[int, int] = (0, 0)


def _examine_pair(manifest: PairsManifest, pair: Pair) -> _PairFound:
    findings: list[Finding] = []
    seen: dict[str, Seen] = {}
    images: list[Array] = []
    for file in (pair.input, pair.target):
        problems, array = _examine_file(manifest, pair, file)
        findings += problems
        if array is not None:
            seen[file.path] = extremes(array)
            problems = value_findings(seen[file.path], file.path, pair.stem, manifest.format)
            findings += problems
            images += [] if problems else [grey_levels(planes(array, manifest.format), manifest.format.range)]
    if len(images) < 2:
        return _PairFound(findings, seen)
    problems = compare(images[0], images[1], pair)
    if problems:
        return _PairFound(findings + problems, seen)
    phase, side = cross_phase(images[0], images[1]), manifest.side(pair)
    shift = shift_of(phase, side)
    if misaligned(images[0], images[1], shift):
        files = (pair.input.path, pair.target.path)
        findings.append(Finding("misaligned", f"the input lies {shift} of its target", (pair.stem,), files))
    return _PairFound(findings, seen, phase, side)


def _examine_file(manifest: PairsManifest, pair: Pair, file: StoredFile) -> tuple[list[Finding], Array | None]:
    path = manifest.path(file)
    header, findings = header_findings(path, file, pair, manifest.format)
    if header is None or findings:
        if any(finding.check == "missing" for finding in findings):
            partner = pair.target if file is pair.input else pair.input
            there = "is there" if manifest.path(partner).is_file() else "is missing too"
            findings = [Finding("missing", f"the file is missing, its partner {there}", (pair.stem,), (file.path,))]
        return findings, None
    try:
        array = np.array(view(path, header))
        found = sha256_of_npy(path)
    except (OSError, PairsError) as error:
        return [Finding("unreadable", reason(error), (pair.stem,), (file.path,))], None
    if found != file.sha256:
        what = f"the content is not the one written: sha256 {found[:12]}, manifest {file.sha256[:12]}"
        findings.append(Finding("hash", what, (pair.stem,), (file.path,)))
    return findings, array


def compare(image_input: Array, image_target: Array, pair: Pair) -> list[Finding]:
    """Hold the values of two (3, H, W) uint8 images of one pair against each other."""

    def finding(check: str, what: str, is_error: bool = True) -> Finding:
        files = (pair.input.path, pair.target.path)
        return Finding(check, what, (pair.stem,), files, "error" if is_error else "warning")

    if np.array_equal(image_input, image_target):
        known = bool(pair.record.get("identical"))  # a draw in which no step fired
        return [finding("identical", "input and target are the same" + (", as written" if known else ""), not known)]
    squeezed = [_is_squeezed(image) for image in (image_input, image_target)]
    if squeezed[0] != squeezed[1]:
        which = "input" if squeezed[0] else "target"
        return [finding("normalised twice", f"the {which} is squeezed near -1, its partner is not")]
    if all(squeezed):
        return [finding("normalised twice", "both are nearly black, or were normalised twice", is_error=False)]
    if _colours_swapped(image_input, image_target):
        return [finding("colours", "red and blue are swapped between input and target")]
    return []


def _is_squeezed(image: Array) -> bool:
    return bool(image.max() / 127.5 - 1 < SQUEEZED_BELOW)


def _colours_swapped(image_input: Array, image_target: Array) -> bool:
    """Say whether the thumbnails agree far better with red and blue exchanged; grey jewellery never says so."""
    small = [
        resize(image.transpose(1, 2, 0), 32, 32, "area").astype(np.float32) for image in (image_input, image_target)
    ]
    straight, swapped = np.abs(small[0] - small[1]).mean(), np.abs(small[0][..., ::-1] - small[1]).mean()
    return bool(straight > 2 and swapped < 0.5 * straight)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    known: dict[tuple[str, tuple[str, ...]], Finding] = {}
    for finding in findings:
        known.setdefault((finding.check, finding.files), finding)
    return list(known.values())


def _stray_files(manifest: PairsManifest) -> list[Finding]:
    """Find tensors that the manifest does not know; nothing reads them."""
    listed = {file.path for pair in manifest.pairs for file in (pair.input, pair.target)}
    there = {path.relative_to(manifest.directory).as_posix() for path in manifest.directory.rglob("*.npy")}
    findings = []
    for path in sorted(there - listed):
        what = "the manifest does not list this file"
        for role, other in (("_input.npy", "_target.npy"), ("_target.npy", "_input.npy")):
            if path.endswith(role) and path.removesuffix(role) + other not in there:
                what += ", and its partner is missing"
        findings.append(Finding("unlisted", what, (), (path,), "warning"))
    return findings


def _leaks(manifest: PairsManifest) -> list[Finding]:
    """Find photos, groups, contents and near-duplicates on two sides of the split."""
    findings = []
    sides: dict[tuple[str, str], list[Pair]] = {}
    for pair in manifest.pairs:
        contents = {("the same content", file.sha256) for file in (pair.input, pair.target)}
        shared = {("versions of one photo", pair.photo), ("one group of near-duplicates", pair.group)}
        for key in contents | shared:
            sides.setdefault(key, []).append(pair)
    for (what, _), pairs in sorted(sides.items()):
        if len({pair.split for pair in pairs}) > 1:
            findings.append(_leak(what, pairs))
    return findings + _near_leaks(manifest)


def _near_leaks(manifest: PairsManifest) -> list[Finding]:
    bits = manifest.spec.get("split", {}).get("near_duplicate_bits")
    photos = {pair.photo: pair for pair in manifest.pairs if "hash" in pair.record}
    if bits is None:
        return []
    chosen = list(photos.values())
    near = near_pairs([int(pair.record["hash"], 16) for pair in chosen], bits)
    apart = [[chosen[i], chosen[j]] for i, j in near if chosen[i].split != chosen[j].split]
    return [_leak(f"near-duplicates ({bits} bits or less)", pairs) for pairs in apart]


def _leak(what: str, pairs: list[Pair]) -> Finding:
    shown = ", ".join(
        f"{name}: {next(p.stem for p in pairs if p.split == name)}" for name in SPLITS if _has(pairs, name)
    )
    stems, files = tuple(pair.stem for pair in pairs), tuple(pair.input.path for pair in pairs)
    return Finding("leak", f"{what} on both sides of the split ({shown})", stems, files)


def _has(pairs: Iterable[Pair], name: str) -> bool:
    return any(pair.split == name for pair in pairs)


def _empty_splits(manifest: PairsManifest) -> list[Finding]:
    empty = [name for name in SPLITS if not _has(manifest.pairs, name)]
    return [Finding("empty", f"no pair in {name}", severity="warning") for name in empty]
