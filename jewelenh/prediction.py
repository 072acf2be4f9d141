"""Photo files in, restored photo files out: the tree is kept, finished files are skipped, failures are listed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from jewelenh.atomic import explained, write_atomically
from jewelenh.config import Probability
from jewelenh.errors import ConfigError, ImageError, ItemsFailedError, SourceError
from jewelenh.images import Photo, decode, encode, read_bytes
from jewelenh.manifest import fingerprint_of, sha256_of
from jewelenh.progress import progress
from jewelenh.restorer import Restorer, rescale
from jewelenh.sources.folder import find_photos

log = logging.getLogger(__name__)

RECORD = ".jewelenh.jsonl"
"""In the output folder: what each file was made from. A file with the same line is not made again."""
WRITABLE = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Output:
    """How restored photos are written."""

    format: Literal["same", "png", "jpg", "webp"] = "same"
    """`same` keeps the ending of the original where it can be written, else PNG."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    scale: Annotated[float, Field(gt=0, le=16)] | None = None
    """Sides relative to the original's: 1 brings it back to its size; null keeps the enhancer's resolution."""
    strength: Probability = 1.0
    """From the enhancer's picture alone (0) to the refined one (1)."""
    stages: bool = False
    """Also write the enhancer's picture, as <name>_enhanced."""


@dataclass
class Prediction:
    """What a run did."""

    made: list[Path] = field(default_factory=list)
    there: list[Path] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Work:
    stem: str
    photo: Photo
    key: str
    file: Path


def predict(
    restorer: Restorer, identity: str, input: Path, output: Path, settings: Output, extensions: Sequence[str]
) -> Prediction:
    """Restore a photo, or every photo below a folder, into `output`; `identity` names checkpoint and enhancer.

    Raises:
        SourceError: no photos there.
        ConfigError: `output` is the input folder or lies inside it.
        ItemsFailedError: some photos failed; the others are written.
    """
    root, stems = _find(input, output, extensions)
    record = _read_record(output)
    done = Prediction()
    with progress("restore", len(stems)) as advance:
        work: dict[str, _Work] = {}

        def photos() -> Iterator[tuple[str, Photo]]:
            for stem in stems:
                item = _prepare(root, stem, output, identity, settings, record, done)
                if item is None:
                    advance()
                    continue
                work[stem] = item
                yield stem, item.photo

        for stem, enhanced in restorer.upscaler.upscale_many(photos()):
            item = work.pop(stem)
            if isinstance(enhanced, ImageError):
                done.failures[stem] = str(enhanced)
            else:
                _finish(restorer, item, enhanced, settings, done)
                _note(output, item)
            advance()
    _report(done, output)
    return done


def _find(input: Path, output: Path, extensions: Sequence[str]) -> tuple[Path, list[str]]:
    if input.is_file():
        return input.parent, [input.name]
    if not input.exists():
        raise SourceError("There is nothing to restore.", where=f"input={input}", expected="a photo or a folder")
    source, target = input.resolve(), output.resolve()
    if target == source or source in target.parents:
        raise ConfigError(
            "The output folder is the input folder or lies inside it: the next run would restore its own results.",
            where=f"output={output}",
            fix="give a folder of its own",
        )
    return input, find_photos(input, extensions)


def _prepare(
    root: Path, stem: str, output: Path, identity: str, settings: Output, record: dict[str, str], done: Prediction
) -> _Work | None:
    """Read one photo; None when it is finished already or cannot be read."""
    path = root / stem
    try:
        data = read_bytes(path)
        key = fingerprint_of({"photo": sha256_of(data), "identity": identity, "settings": asdict(settings)})
        file = output / _output_name(stem, settings)
        if record.get(file.relative_to(output).as_posix()) == key and file.is_file():
            done.there.append(file)
            return None
        if file.resolve() == path.resolve():
            raise ImageError("The result would replace the original.", where=path, fix="another output folder")
        return _Work(stem, decode(data, path), key, file)
    except ImageError as error:
        done.failures[stem] = str(error)
        return None


def _output_name(stem: str, settings: Output) -> str:
    suffix = Path(stem).suffix
    if settings.format == "same" and suffix.lower() in WRITABLE:
        return stem
    wanted = "png" if settings.format == "same" else settings.format
    if suffix.lower() == f".{wanted}" or {suffix.lower(), wanted} == {".jpeg", "jpg"}:
        return stem
    return f"{stem}.{wanted}"  # the old ending stays, so that a.jpg and a.tif never meet


def _finish(restorer: Restorer, work: _Work, enhanced: Photo, settings: Output, done: Prediction) -> None:
    suffix = work.file.suffix
    try:
        restored = restorer.finish(work.photo, enhanced, settings.strength, settings.scale)
        write_atomically(work.file, encode(restored, suffix, settings.quality))
        if settings.stages:
            plain = enhanced if settings.scale is None else rescale(enhanced, work.photo, settings.scale)
            write_atomically(work.file.with_stem(f"{work.file.stem}_enhanced"), encode(plain, suffix, settings.quality))
        done.made.append(work.file)
    except ImageError as error:
        done.failures[work.stem] = str(error)


def _read_record(output: Path) -> dict[str, str]:
    try:
        lines = (output / RECORD).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    record = {}
    for line in lines:
        try:
            entry = json.loads(line)
            record[entry["file"]] = entry["key"]
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a killed run may be torn: that photo is made again
    return record


def _note(output: Path, work: _Work) -> None:
    line = json.dumps({"file": work.file.relative_to(output).as_posix(), "key": work.key})
    with explained(output), (output / RECORD).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _report(done: Prediction, output: Path) -> None:
    log.info(
        "restored: %d made, %d there already, %d failed, in %s",
        *map(len, (done.made, done.there, done.failures)),
        output,
    )
    if done.failures:
        shown = "\n".join(f"  {stem!r}: {why.splitlines()[0]}" for stem, why in list(done.failures.items())[:20])
        raise ItemsFailedError(
            f"{len(done.failures)} photos could not be restored; the others are written.\n{shown}", where=output
        )
