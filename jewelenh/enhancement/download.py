"""Published weight files into the cache: resumable, checked, renamed into place only when the hash is right."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import urllib.error
import urllib.request
from pathlib import Path

from jewelenh.enhancement.releases import Release
from jewelenh.errors import StageError, WeightsError
from jewelenh.files import lock
from jewelenh.progress import progress

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


def cached(release: Release, cache_dir: Path) -> bytes:
    """Return the bytes of `release` from `cache_dir`, downloading what is missing of it.

    Raises:
        WeightsError: offline, wrong hash, truncated, cache not writable; always with the way to do it by hand.
    """
    path = cache_dir / release.file
    if path.is_file():
        return _checked(path, release)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with lock(cache_dir / f".{release.file}.lock", exclusive=True):
            if not path.is_file():  # another process may have fetched it while this one waited
                _download(release, path)
    except (OSError, StageError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "what", None) or error
        raise _by_hand(release, path, f"The weight cache cannot be written: {reason}") from error
    return _checked(path, release)


def _download(release: Release, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    log.info("downloading %s (%.1f MB, %s)", release.url, release.n_bytes / 1e6, release.licence)
    try:
        _fetch(release, part)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _by_hand(release, path, f"The weights could not be downloaded: {error}") from error
    size = part.stat().st_size
    if size < release.n_bytes:
        raise _by_hand(release, path, "The download ended early; run again to go on where it stopped", f"{size} bytes")
    found = hashlib.sha256(part.read_bytes()).hexdigest()
    if found != release.sha256:
        part.unlink()
        raise _by_hand(release, path, "The downloaded file is not the published one", found)
    part.replace(path)


def _fetch(release: Release, part: Path) -> None:
    """Append what `part` still lacks; start over where the server does not know ranges."""
    n_have = part.stat().st_size if part.is_file() else 0
    if n_have >= release.n_bytes:
        if n_have == release.n_bytes:
            return
        n_have = 0
    headers = {"Range": f"bytes={n_have}-"} if n_have else {}
    request = urllib.request.Request(release.url, headers={"User-Agent": "jewelenh", **headers})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumes = response.status == 206
        with (
            part.open("ab" if resumes else "wb") as file,
            progress(f"download {release.file}", release.n_bytes, "bytes") as advance,
        ):
            advance(n_have if resumes else 0)
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                advance(len(chunk))


def _checked(path: Path, release: Release) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found == release.sha256:
            return data
        raise _by_hand(release, path, f"A weight file in the cache has the wrong hash; remove {path}", found)
    raise _by_hand(release, path, "The weight file vanished from the cache")


def _by_hand(release: Release, path: Path, what: str, found: str | None = None) -> WeightsError:
    """Say the one thing that helps in every case: what to fetch, what it hashes to, where to put it."""
    return WeightsError(
        f"{what}.",
        where=release.url,
        expected=f"sha256 {release.sha256}, {release.n_bytes} bytes",
        found=found,
        fix=f"put that file at {path}, or give a file you have with enhancer.weights=<file>; "
        "another cache folder: paths.cache_dir=<folder>",
    )
