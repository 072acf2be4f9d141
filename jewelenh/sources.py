"""Where raw photos come from: the embedded sample, a folder, a Kaggle data set; indexed by content, never copied."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jewelenh.config import Source
from jewelenh.errors import ImageError, SourceError
from jewelenh.files import explained, write_atomically
from jewelenh.images import n_frames_of, read_bytes
from jewelenh.manifest import Item, StoredFile, sha256_of
from jewelenh.progress import progress
from jewelenh.seeds import seed_for
from jewelenh.stage import Selection, Stage, open_stage

log = logging.getLogger(__name__)

SAMPLE_DIR = Path(__file__).resolve().parent / "sample" / "photos"
DONE_FILE = ".complete"  # in the folder of a Kaggle data set that was unpacked to its end


def _folder(source: Source, data_dir: Path, only_check: bool) -> tuple[Path, dict[str, Any]]:
    assert source.root is not None  # config.Source holds this
    root = source.root.expanduser().absolute()
    _require_folder(root)
    return root, {"source": "folder", "root": str(root)}


def _kaggle(source: Source, data_dir: Path, only_check: bool) -> tuple[Path, dict[str, Any]]:
    assert source.dataset is not None
    root = (source.root or data_dir / "raw" / f"kaggle-{source.dataset.replace('/', '--')}").absolute()
    download_dataset(source.dataset, root, only_check)
    return root, {"source": "kaggle", "dataset": source.dataset}


SOURCES: Mapping[str, Callable[[Source, Path, bool], tuple[Path, dict[str, Any]]]] = {
    "sample": lambda source, data_dir, only_check: (SAMPLE_DIR, {"source": "sample"}),
    "folder": _folder,
    "kaggle": _kaggle,
}
"""`source.kind` -> what finds the folder of its photos, and what the fingerprint of its stage hashes."""


def check_source(source: Source, data_dir: Path) -> None:
    """Make sure, before any work, that the photos can be had: nothing is read, nothing downloaded.

    Raises:
        SourceError: no such folder, no Kaggle client, no credentials.
    """
    SOURCES[source.kind](source, data_dir, True)


def fetch(source: Source, seed: int, data_dir: Path) -> Selection:
    """Return the chosen photos as a selection of stage `<data_dir>/raw/<kind>-<fingerprint>`.

    A photo's stem is its path relative to the source, ending included (`rings/a.jpg`), its key the SHA-256 of the file.
    Photos stay where they are; the manifest points at them. Files unchanged in size and time are not hashed again.
    Photos that cannot be read are among the selection's failures; whoever uses it decides.
    """
    root, spec = SOURCES[source.kind](source, data_dir, False)
    stems = choose(find_photos(root, source.extensions), source.limit, seed)
    with open_stage(data_dir / "raw", source.kind, "raw", spec) as stage, progress("fetch", len(stems)) as advance:
        for stem in stems:
            _index(stage, root, stem)
            advance()
        selection = stage.commit(stems)
    say_frames([item.stem for item in selection.items if "frames" in item.record])
    return selection


def say_frames(stems: Sequence[str]) -> None:
    """Warn of photos of which only the first frame or page is read."""
    if stems:
        more = f" and {len(stems) - 5} more" if len(stems) > 5 else ""
        log.warning("only the first frame or page is read of %d: %s%s", len(stems), ", ".join(stems[:5]), more)


def _index(stage: Stage, root: Path, stem: str) -> None:
    path = root / stem
    try:
        stat = path.stat()
        stamp = {"photo": stem, "mtime_ns": stat.st_mtime_ns, "bytes": stat.st_size}
        known: Item | None = stage.items.get(stem)
        if known and known.record.items() >= stamp.items() and known.files["image"].path == str(path):
            return
        data = read_bytes(path)
    except (OSError, ImageError) as error:
        stage.fail(stem, str(error) if isinstance(error, ImageError) else f"{error.strerror}: {path}")
        return
    stored, n_frames = StoredFile(str(path), sha256_of(data), len(data)), n_frames_of(data)
    record = {**stamp, "frames": n_frames} if n_frames > 1 else stamp
    stage.note(stem, stored.sha256, {"image": stored}, record)


def find_photos(root: Path, extensions: Sequence[str]) -> list[str]:
    """Return the relative POSIX paths of all photos below `root`, sorted; hidden files and folders are left out.

    Links to folders are followed, each real folder once. Files of other endings are counted in the log.

    Raises:
        SourceError: the folder is not there, cannot be read, or holds no photo.
    """
    _require_folder(root)
    suffixes = {extension.lower() for extension in extensions}
    found = [(stem, Path(stem).suffix.lower()) for stem in _walk(root)]
    stems = sorted(stem for stem, suffix in found if suffix in suffixes)
    if not stems:
        raise SourceError(
            "No photos were found.",
            where=root,
            expected=f"files ending in {' '.join(sorted(suffixes))}",
            fix="give another folder with source.root=..., or other endings with source.extensions=[...]",
        )
    if others := Counter(suffix or "no ending" for _, suffix in found if suffix not in suffixes):
        shown = ", ".join(f"{n} {suffix}" for suffix, n in sorted(others.items()))
        log.info("left out in %s for their endings: %s", root, shown)
    return stems


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        raise SourceError(
            "The folder of photos is not there.",
            where=f"source.root={root}",
            expected="a folder",
            found="a file" if root.exists() else "nothing",
            fix=f"give an existing folder; relative paths start at {Path.cwd()}",
        )


def _walk(root: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise SourceError(f"A folder of photos cannot be read: {error.strerror}.", where=error.filename) from error

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name).relative_to(root).as_posix() for name in files if not name.startswith("."))


def choose(stems: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """Return `limit` of the stems, sorted: a seeded choice that a larger limit only adds to."""
    ranked = sorted(stems, key=lambda stem: (seed_for(seed, "limit", stem), stem))
    return sorted(ranked[:limit])


def download_dataset(dataset: str, folder: Path, only_check: bool = False) -> None:
    """Unpack the Kaggle data set `owner/name` into `folder`, once; `only_check` ends where the download would begin.

    It is unpacked beside its place and renamed at the end, so a broken download is never taken for a data set.

    Raises:
        SourceError: no client, no credentials, no such data set, no network; each with the fix.
    """
    if (folder / DONE_FILE).is_file():
        return
    api = _authenticated_client()
    if only_check:
        return
    partial = folder.with_name(f".{folder.name}.partial")
    with explained(folder):
        partial.mkdir(parents=True, exist_ok=True)
    log.info("downloading the Kaggle data set %s to %s", dataset, folder)
    try:
        api.dataset_download_files(dataset, path=str(partial), unzip=True, quiet=False)
    except (Exception, SystemExit) as error:
        raise SourceError(
            f"The Kaggle data set could not be downloaded: {(str(error) or repr(error)).splitlines()[0][:300]}",
            where=f"source.dataset={dataset}",
            fix=f"check https://www.kaggle.com/datasets/{dataset}, your network and your key, or download it by hand "
            "and use source=folder source.root=<folder>",
        ) from error
    with explained(folder):
        write_atomically(partial / DONE_FILE, dataset.encode())
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)


def _authenticated_client() -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the client prints its own long help and may exit
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            api.authenticate()
    except ImportError as error:
        raise SourceError(f"There is no Kaggle client: {error}.", fix="pip install 'jewelenh[kaggle]'") from error
    except (Exception, SystemExit) as error:
        raise SourceError(
            "There are no Kaggle credentials.",
            expected="KAGGLE_USERNAME and KAGGLE_KEY in the environment, or ~/.kaggle/kaggle.json",
            found=None if isinstance(error, SystemExit) else error,
            fix="make a key at https://www.kaggle.com/settings (API, Create New Token), or use source=folder",
        ) from error
    return api
