"""What a pairs directory promises, and the reader that every consumer of pairs goes through.

    data/pairs/mild-3f9c2a71d0/
        manifest.json                      the promise: format, split, upstream, and every pair
        train/rings/a.jpg_input.npy        (3, size, size) C-contiguous, `dtype`
        train/rings/a.jpg~1_input.npy      a second degraded version of the same photo
        train/rings/a.jpg_target.npy       one for all versions
        val/...  test/...

Of several levels, stems end in theirs (a.jpg~mild). Pairs for a network that stands before the enhancer hold the
photos themselves, at their own sizes: a.jpg_degraded.npy, a.jpg_raw.npy.

The directory is a data set: its name hashes the settings *and* the photos, so it never changes under a run that uses
it. Values are float32 or float16 in [-1, 1], or the uint8 grey levels that those came from. Tensors that mean anything
else are converted first: see `foreign.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from pydantic import TypeAdapter, ValidationError

from jewelenh.config import Pairs, Placement
from jewelenh.errors import JewelenhError, PairsError
from jewelenh.images import Pixels, grey_levels
from jewelenh.manifest import Item, Manifest, StoredFile, read_manifest, sha256_of_file
from jewelenh.pairs.npy import read_header, view

KIND = "pairs"
VERSION = 1
SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
NAMES = {"enhanced": ("input", "target"), "photos": ("degraded", "raw")}
"""What the files of a pair hold, by content: what the network is given, and what it is held to."""
GEOMETRY = "short side to size, then centre crop"
"""How a photo that is not square becomes one: nothing is squeezed and no pixel is invented; the long ends are lost."""


@dataclass(frozen=True)
class Format:
    """How the values of a pairs directory lie in its files; what has one value is there to be read by others."""

    dtype: Literal["float32", "float16", "uint8"]
    size: int | None
    """Side in pixels; None: native, each photo its own."""
    resample: str | None
    range: Literal["signed"] = "signed"
    """Floats are in [-1, 1]; uint8 is always 0 to 255."""
    layout: Literal["chw"] = "chw"
    colours: Literal["rgb"] = "rgb"
    geometry: str | None = GEOMETRY
    content: Literal["enhanced", "photos"] = "enhanced"
    """`photos` are degraded and raw themselves, for a network that stands before the enhancer."""
    version: int = VERSION


def format_of(pairs: Pairs) -> Format:
    """Return the format that these settings ask for."""
    if pairs.placement == "after":
        return Format(pairs.dtype, pairs.size, pairs.resample)
    return Format(pairs.dtype, None, None, content="photos")


@dataclass(frozen=True)
class Pair:
    """One `input` and its `target`."""

    stem: str
    photo: str
    """Stem of the original photo; versions `photo~1`, `photo~2` share its target and its side of the split."""
    split: SplitName
    group: str
    """Name of its group of near-duplicates: the stem of one of them."""
    shape: tuple[int, int, int]
    """(3, height, width)."""
    input: StoredFile
    target: StoredFile
    level: str
    """Of this version; `none` was not degraded."""
    record: Mapping[str, Any]
    """`source`: sha256 of the images it came from; `input`, `target`: draw, weights and settings of each."""

    @property
    def side(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.shape[1], self.shape[2]

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Return the files of this pair; versions of a photo share some."""
        return self.input, self.target


@dataclass(frozen=True)
class PairsManifest:
    """A pairs directory, opened; says nothing yet about whether its files keep the promise."""

    directory: Path
    fingerprint: str
    format: Format
    spec: Mapping[str, Any]
    pairs: tuple[Pair, ...]
    """In the order of their stems."""
    failures: Mapping[str, str]
    n_made: int = 0
    """Pairs whose files this run made; the others were there or were linked."""
    n_linked: int = 0
    """Pairs whose files this run took over from another pairs directory."""

    @property
    def placement(self) -> Placement:
        """Return where a network of these pairs stands: before the enhancer or after it."""
        return "before" if self.format.content == "photos" else "after"

    def split(self, name: SplitName) -> tuple[Pair, ...]:
        """Return the pairs of one split."""
        return tuple(pair for pair in self.pairs if pair.split == name)

    def path(self, file: StoredFile) -> Path:
        """Return the absolute path of a pair's file."""
        return self.directory / file.path

    def verified(self, file: StoredFile) -> Path:
        """Return the absolute path of a pair's file; raise PairsError where it is not the file that was written."""
        path = self.path(file)
        try:
            found = sha256_of_file(path)
        except OSError as error:
            raise PairsError("The file can no longer be read.", where=path, found=error) from error
        if found != file.sha256:
            fix = f"python -m jewelenh.pair check=true directory={self.directory}"
            expected = f"sha256 {file.sha256}"
            raise PairsError("A file is not the one in the manifest.", where=path, expected=expected, fix=fix)
        return path

    def pixels(self, file: StoredFile) -> Pixels:
        """Return the image in a pair's file as (H, W, 3) uint8 RGB."""
        path = self.verified(file)
        return np.ascontiguousarray(grey_levels(view(path, read_header(path))).transpose(1, 2, 0))


def read_pairs(directory: Path) -> PairsManifest:
    """Open a pairs directory.

    Raises:
        PairsError: no directory, no manifest, another version, or a manifest of something else.
        StageError: a manifest that is broken or was changed by hand.
    """
    directory = Path(directory).absolute()
    manifest = read_manifest(directory)
    if manifest is None:
        if not directory.is_dir():
            raise PairsError("There is no such pairs directory.", where=directory, fix="python -m jewelenh.pair")
        raise PairsError(
            "These pairs have no manifest, so nothing says what their values mean.",
            where=directory,
            expected="manifest.json",
            fix=f"convert them: python -m jewelenh.pair import={directory} range=... layout=... colours=...",
        )
    if manifest.kind != KIND:
        raise PairsError("This directory holds something else.", where=directory, expected=KIND, found=manifest.kind)
    return from_manifest(manifest)


def from_manifest(manifest: Manifest) -> PairsManifest:
    """Return a stage's manifest as that of a pairs directory; raise PairsError for what this version cannot read."""
    try:
        layout = TypeAdapter(Format).validate_python(manifest.spec["format"])
        level = str(manifest.spec.get("level", ""))
        pairs = tuple(_pair(manifest.items[stem], level) for stem in sorted(manifest.items))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise PairsError("The manifest does not describe pairs.", where=manifest.directory, found=error) from error
    if layout.version != VERSION:
        found = layout.version
        raise PairsError(
            "Pairs of another version of the contract.", where=manifest.directory, expected=VERSION, found=found
        )
    return PairsManifest(
        manifest.directory, manifest.fingerprint, layout, manifest.spec, pairs, dict(manifest.failures)
    )


def _pair(item: Item, level: str) -> Pair:
    record, files = item.record, item.files
    shape = cast(tuple[int, int, int], tuple(record["shape"]))
    if record["split"] not in SPLITS or len(shape) != 3 or shape[0] != 3:
        raise ValueError(f"{item.stem}: split {record['split']!r}, shape {record['shape']}")
    parts = [Path(file.path).parts for file in files.values()]
    if outside := [path for path in parts if path[0] != record["split"] or ".." in path]:
        raise ValueError(f"{item.stem}: {'/'.join(outside[0])} lies outside of {record['split']}/")
    photo, split, group, own = record["photo"], record["split"], record["group"], record.get("level") or level
    return Pair(item.stem, photo, split, group, shape, files["input"], files["target"], own, record)


@dataclass(frozen=True)
class Finding:
    """Something about pairs that is not as promised."""

    check: str
    """Name of the check, such as `range` or `truncated`."""
    what: str
    stems: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    severity: Literal["error", "warning"] = "error"


def raise_for(findings: list[Finding], where: Path, fix: str | None = None) -> None:
    """Raise one PairsError that names every error among the findings, at most twenty in full."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    shown = [f"  {finding.check}: {' '.join(finding.files[:2])} {finding.what}" for finding in errors[:20]]
    more = [f"  and {len(errors) - 20} more"] if len(errors) > 20 else []
    raise PairsError(
        f"{len(errors)} problem{'s' if len(errors) > 1 else ''} in these pairs:\n" + "\n".join(shown + more),
        where=where,
        fix=fix or f"see them all with: python -m jewelenh.pair check=true directory={where}",
    )


def reason(error: Exception) -> str:
    """Return the first line of an error, with what it found, for a table's cell."""
    if isinstance(error, JewelenhError):
        return error.what + (f" ({error.found})" if error.found is not None else "")
    return str(error) or repr(error)
