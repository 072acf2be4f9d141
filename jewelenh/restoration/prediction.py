"""Photo files in, restored photo files out: the tree is kept, finished files are skipped, failures are listed."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from jewelenh.config import Output
from jewelenh.errors import ConfigError, ImageError, ItemsFailedError, SourceError, StageError
from jewelenh.files import remove_leftovers, write_atomically
from jewelenh.images import Photo, decode, read_bytes
from jewelenh.manifest import fingerprint_of, sha256_of
from jewelenh.progress import progress
from jewelenh.restoration.restorer import Restorer, rescale
from jewelenh.restoration.results import check_fits, names_of, photo_file, with_metadata
from jewelenh.sources import find_photos, say_frames

log = logging.getLogger(__name__)

RECORD = ".jewelenh.jsonl"
"""In the output folder: what each file was made from. A file with the same line is not made again."""
FAILED = "failed.json"
"""In the output folder while there are failures: photo -> reason."""
N_SHOWN = 20
"""Failures in the summary of the log; the file has all."""
ENDS_THE_RUN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of the disk that every other photo would meet, too."""


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
    prepared: Photo
    """What is enhanced: the photo, refined already where the network stands before the enhancer."""
    key: str
    files: list[Path]
    """The restored photo and, with `stages`, the enhancer's picture."""


def predict(
    restorer: Restorer,
    identity: str,
    input: Path,
    output: Path,
    settings: Output,
    extensions: Sequence[str],
    on_error: Literal["stop", "skip"] = "stop",
) -> Prediction:
    """Restore a photo, or every photo below a folder, into `output`; `identity` names checkpoint and enhancer.

    Raises:
        SourceError: no photos there.
        ConfigError: `output` is the input folder, lies inside it, or two results would have one name.
        StageError: the output folder cannot be written.
        ItemsFailedError: some photos failed and `on_error` is `stop`; the others are written.
    """
    root, stems = _find(input, output, extensions)
    _check_names(stems, settings)
    record = _open_record(output)
    run = _Run(restorer, identity, root, output, settings, record)
    with progress("restore", len(stems)) as advance:
        waiting: dict[str, _Work] = {}

        def photos() -> Iterator[tuple[str, Photo]]:
            for stem in stems:
                work = run.prepare(stem)
                if work is None:
                    advance()
                    continue
                waiting[stem] = work
                yield stem, work.prepared

        results = restorer.upscaler.upscale_many(photos())
        while run.finish_next(results, waiting):
            advance()
    _report(run.done, output, on_error)
    return run.done


def _find(input: Path, output: Path, extensions: Sequence[str]) -> tuple[Path, list[str]]:
    if input.is_file():
        return input.parent, [input.name]
    if not input.is_dir():
        found = "something else" if input.exists() else "nothing"
        raise SourceError(
            "There is nothing to restore.", where=f"input={input}", expected="a photo or a folder", found=found
        )
    source, target = input.resolve(), output.resolve()
    if target == source or source in target.parents:
        raise ConfigError(
            "The output folder is the input folder or lies inside it: the next run would restore its own results.",
            where=f"output={output}",
            fix="give a folder of its own",
        )
    try:
        return input, find_photos(input, extensions)
    except SourceError as error:
        fix = "another input=<photo or folder>, or other endings with extensions=[...]"
        raise SourceError(error.what, where=error.where, expected=error.expected, fix=fix) from error


def _check_names(stems: Sequence[str], settings: Output) -> None:
    """Refuse photos whose results would replace each other, such as a.png with stages=true beside a_enhanced.png."""
    taken: dict[str, str] = {}
    for stem in stems:
        for name in names_of(stem, settings):
            if name in taken:
                raise ConfigError(
                    f"The results of two photos would have one name, {name!r}.",
                    found=f"{taken[name]!r} and {stem!r}",
                    fix="rename one of them, or another format= or stages=",
                )
            taken[name] = stem


@dataclass
class _Run:
    """One run over the photos."""

    restorer: Restorer
    identity: str
    root: Path
    output: Path
    settings: Output
    record: dict[str, str]
    done: Prediction = field(default_factory=Prediction)

    def prepare(self, stem: str) -> _Work | None:
        """Read one photo; None when it is finished already or cannot be restored."""
        path = self.root / stem
        try:
            data = read_bytes(path)
            about = {"photo": sha256_of(data), "identity": self.identity, "settings": asdict(self.settings)}
            key = fingerprint_of(about)
            names = names_of(stem, self.settings)
            files = [self.output / name for name in names]
            if self.record.get(names[0]) == key and all(file.is_file() for file in files):
                self.done.there.append(files[0])
                return None
            if any(file.resolve() == path.resolve() for file in files):
                raise ImageError("The result would replace the original.", where=path, fix="another output folder")
            photo = with_metadata(decode(data, path), self.settings.metadata)
            if photo.n_frames > 1:
                say_frames([stem])
            check_fits(photo, names[0], self.settings, self.restorer.upscaler.scale)
            prepared = self.restorer.prepare(photo, self.settings.strength)
        except ImageError as error:
            self._fail(stem, error)
            return None
        return _Work(stem, photo, prepared, key, files)

    def finish_next(self, results: Iterator[tuple[str, Photo | ImageError]], waiting: dict[str, _Work]) -> bool:
        """Write the next enhanced photo that comes; False when there is none.

        A method of its own, so that no enlarged photo is held while the next one is made.
        """
        stem, enhanced = next(results, (None, None))
        if stem is None or enhanced is None:
            return False
        work = waiting.pop(stem)
        if isinstance(enhanced, ImageError):
            self._fail(stem, enhanced)
            return True
        try:
            if self.settings.stages:
                scale = self.settings.scale
                plain = enhanced if work.prepared is work.photo else self.restorer.upscaler.upscale(work.photo)
                self._save(work.files[1], plain if scale is None else rescale(plain, work.photo, scale))
            self._save(
                work.files[0],
                self.restorer.finish(work.photo, enhanced, self.settings.strength, self.settings.scale),
            )
        except ImageError as error:
            self._fail(stem, error)
        else:
            self.done.made.append(work.files[0])
            _note(self.output, work, self.identity)
        return True

    def _save(self, file: Path, photo: Photo) -> None:
        _write(file, photo_file(photo, file.name, self.settings))

    def _fail(self, stem: str, error: ImageError) -> None:
        self.done.failures[stem] = str(error)
        log.warning("%r failed: %s", stem, error.what)


def _write(file: Path, data: bytes) -> None:
    """Write a result; what is wrong with this file alone is an ImageError, what ends the run a StageError."""
    try:
        write_atomically(file, data)
    except StageError as error:
        number = getattr(error.__cause__, "errno", None)
        if number in ENDS_THE_RUN:
            raise _not_writable(error, file) from error
        raise ImageError(error.what, where=file, fix="another output=<folder>") from error


def _not_writable(error: StageError, where: Path) -> StageError:
    return StageError(error.what, where=where, fix="free some space, or another output=<folder>; what is made is kept")


def _open_record(output: Path) -> dict[str, str]:
    """Read what earlier runs made, and make sure that this one can write."""
    file = output / RECORD
    try:
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
        with file.open("a", encoding="utf-8") as end:
            end.write("\n")  # ends a line that a kill tore
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise StageError(
            f"The output folder cannot be written: {error.strerror}.",
            where=f"output={output}",
            fix="give a folder that you can write",
        ) from error
    record = {}
    for line in lines:
        try:
            entry = json.loads(line)
            record[entry["file"]] = entry["key"]
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a killed run may be torn: that photo is made again
    return record


def _note(output: Path, work: _Work, identity: str) -> None:
    """Write down which photo was made, from what, and by which weights."""
    line = json.dumps({"file": work.files[0].relative_to(output).as_posix(), "key": work.key, "made_with": identity})
    try:
        with (output / RECORD).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _not_writable(StageError(f"Cannot write: {error.strerror}."), output / RECORD) from error


def _report(done: Prediction, output: Path, on_error: str) -> None:
    """Say what was made and what was not, and why; leave the reasons in a file."""
    n_made, n_there, n_failed = map(len, (done.made, done.there, done.failures))
    log.info("restored: %d made, %d there already, %d failed, in %s", n_made, n_there, n_failed, output)
    file = output / FAILED
    if not done.failures:
        file.unlink(missing_ok=True)  # of an earlier run
        return
    _write(file, json.dumps(done.failures, indent=2, sort_keys=True).encode() + b"\n")
    shown = [f"  {stem!r}: {why.splitlines()[0]}" for stem, why in list(done.failures.items())[:N_SHOWN]]
    more = [f"  and {n_failed - N_SHOWN} more"] if n_failed > N_SHOWN else []
    summary = f"{n_failed} of {n_made + n_there + n_failed} photos could not be restored; the others are written.\n"
    summary += "\n".join(shown + more)
    if on_error == "skip":
        log.warning("%s\n  reasons: %s", summary, file)
        return
    raise ItemsFailedError(
        summary, where=file, fix="mend or remove them and run again, or accept it with on_error=skip"
    )
