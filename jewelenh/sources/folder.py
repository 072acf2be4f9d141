"""Find photos below a folder and choose among them, the same way on every machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jewelenh.errors import SourceError
from jewelenh.seeds import seed_for


def find_photos(root: Path, extensions: Sequence[str]) -> list[str]:
    """Return the relative POSIX paths of all photos below `root`, sorted; hidden files and folders are left out.

    Links to folders are followed, each real folder once.

    Raises:
        SourceError: the folder is not there, cannot be read, or holds no photo.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise SourceError(
            "The folder of photos is not there.",
            where=f"source.root={root}",
            expected="a folder",
            found=found,
            fix=f"give an existing folder; relative paths start at {Path.cwd()}",
        )
    suffixes = {extension.lower() for extension in extensions}
    stems = [stem for stem in _walk(root) if Path(stem).suffix.lower() in suffixes]
    if not stems:
        raise SourceError(
            "No photos were found.",
            where=root,
            expected=f"files ending in {' '.join(sorted(suffixes))}",
            fix="give another folder with source.root=..., or other endings with source.extensions=[...]",
        )
    return sorted(stems)


def _walk(root: Path) -> list[str]:
    def refuse(error: OSError) -> None:
        raise SourceError(f"A folder of photos cannot be read: {error.strerror}.", where=error.filename) from error

    seen: set[str] = set()
    stems: list[str] = []
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        stems += [Path(folder, name).relative_to(root).as_posix() for name in files if not name.startswith(".")]
    return stems


def choose(stems: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """Return `limit` of the stems, sorted: a seeded choice that a larger limit only adds to."""
    ranked = sorted(stems, key=lambda stem: (seed_for(seed, "limit", stem), stem))
    return sorted(ranked[:limit])
