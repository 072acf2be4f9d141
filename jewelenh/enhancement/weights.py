"""The weight files of an enhancer: known by name or given, downloaded once, trusted only with the right SHA-256.

A published file is downloaded on first use into the user's cache. A file given with `enhancer.weights` is taken as it
is: its own hash is what gets logged and recorded.
"""

from __future__ import annotations

import http.client
import logging
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from jewelenh.config import Enhancer, nearest
from jewelenh.errors import StageError, WeightsError
from jewelenh.files import lock
from jewelenh.manifest import sha256_of
from jewelenh.progress import progress

log = logging.getLogger(__name__)

ALGORITHM = 1
"""Goes up when the same photo and weights give another picture than before."""
TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20
_RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"


@dataclass(frozen=True)
class WeightFile:
    """A weight file on this disk, or one that its authors published and that is downloaded on first use."""

    name: str
    sha256: str
    path: Path | None = None
    """Where it lies; None for a published one."""
    url: str = ""
    n_bytes: int = 0
    share: float = 1.0
    """Its part in the weighted sum where files are interpolated."""

    def read(self, cache_dir: Path | None = None) -> bytes:
        """Return the file's bytes; what does not hash to `sha256` is refused.

        Raises:
            WeightsError: changed, offline, wrong hash, truncated, cache not writable; with the way to do it by hand.
        """
        if self.path is None:
            return _cached(self, cache_dir or user_cache_path("jewelenh") / "weights")
        data = _read(self.path)
        if sha256_of(data) != self.sha256:
            raise WeightsError("A weight file changed while it was used.", where=self.path, fix="run again")
        return data


def _published(tag: str, name: str, n_bytes: int, sha256: str) -> WeightFile:
    """Return a file of Real-ESRGAN's releases (BSD-3-Clause, (c) 2021 Xintao Wang)."""
    return WeightFile(name, sha256, url=f"{_RELEASES}/{tag}/{name}", n_bytes=n_bytes)


REGISTRY: dict[str, WeightFile | Path] = {
    "x4plus": _published(
        *("v0.1.0", "RealESRGAN_x4plus.pth", 67040989),
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    "x2plus": _published(
        *("v0.2.1", "RealESRGAN_x2plus.pth", 67061725),
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    "general_x4v3": _published(
        *("v0.2.5.0", "realesr-general-x4v3.pth", 4885111),
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
    "compact": Path(__file__).parent.parent / "sample" / "compact.safetensors",
}
"""The enhancers that are known by name: a published file, or one inside this package."""
WEAKER_DENOISING: dict[str, WeightFile] = {
    "general_x4v3": _published(
        *("v0.2.5.0", "realesr-general-wdn-x4v3.pth", 4885111),
        "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
    )
}
"""The twins that `denoise_strength` interpolates with."""


def find_weights(enhancer: Enhancer) -> tuple[WeightFile, ...]:
    """Return the files that `enhancer` is made of, without downloading or reading a published one.

    Raises:
        WeightsError: no such name, no such file, or `denoise_strength` where there is nothing to interpolate.
    """
    main = _main_file(enhancer)
    strength = enhancer.denoise_strength
    if strength is None or strength == 1:
        return (main,)
    twin = WEAKER_DENOISING.get(enhancer.name)
    if twin is None:
        raise WeightsError(
            "enhancer.denoise_strength needs a second, weaker-denoising weight file, which this enhancer has not.",
            where=f"enhancer={enhancer.name}",
            fix="enhancer=general_x4v3, or leave enhancer.denoise_strength at null",
        )
    parts = replace(main, share=strength), replace(twin, share=1 - strength)
    return tuple(part for part in parts if part.share)


def identity_of(enhancer: Enhancer) -> dict[str, Any]:
    """Return what decides an enhanced photo besides the photo: no paths, nothing of how it runs.

    The hashes of the weights stand for architecture and scale.
    """
    weights = [{"sha256": file.sha256, "share": file.share} for file in find_weights(enhancer)]
    return {"algorithm": ALGORITHM, "engine": enhancer.engine, "weights": weights, "strength": enhancer.strength}


def _main_file(enhancer: Enhancer) -> WeightFile:
    if enhancer.weights is not None:
        return _given(enhancer.weights, "enhancer.weights")
    known = REGISTRY.get(enhancer.name)
    if known is None:
        raise WeightsError(
            f"The registry has no enhancer {enhancer.name!r}.{nearest(enhancer.name, list(REGISTRY))}",
            expected=f"one of {', '.join(REGISTRY)}",
            fix="give a weight file of your own with enhancer.weights=<file.pth or file.safetensors>",
        )
    if isinstance(known, WeightFile):
        return known
    if not known.is_file():
        raise WeightsError(
            f"The embedded enhancer {enhancer.name!r} is not in this installation.",
            where=known,
            fix="enhancer=general_x4v3 (downloaded once, 5 MB), or enhancer.weights=<file of your own>",
        )
    return _given(known, f"enhancer={enhancer.name}")


def _given(path: Path, key: str) -> WeightFile:
    path = path.expanduser()
    if path.suffix.lower() not in {".pth", ".safetensors"}:
        raise WeightsError("This is no weight file.", where=f"{key}={path}", expected=".pth or .safetensors")
    return WeightFile(path.name, sha256_of(_read(path)), path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"A weight file cannot be read: {error.strerror}.", where=path.absolute()) from error


def _cached(published: WeightFile, cache_dir: Path) -> bytes:
    """Return a published file from the cache, downloading what is missing of it; one process at a time."""
    path = cache_dir / published.name
    if not path.is_file():
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with lock(cache_dir / f".{published.name}.lock"):
                if not path.is_file():  # another process may have fetched it while this one waited
                    _download(published, path)
        except (OSError, StageError) as error:
            reason = getattr(error, "strerror", None) or getattr(error, "what", None) or error
            raise _by_hand(published, path, f"The weight cache cannot be written: {reason}") from error
    data = _read(path)
    if sha256_of(data) != published.sha256:
        what = f"A weight file in the cache has the wrong hash; remove {path}"
        raise _by_hand(published, path, what, sha256_of(data))
    return data


def _download(published: WeightFile, path: Path) -> None:
    """Download beside `path` and rename into place once the hash is right; what broke off is gone on with."""
    part = path.with_name(f"{path.name}.part")
    log.info("downloading %s (%.1f MB)", published.url, published.n_bytes / 1e6)
    try:
        _fetch(published, part)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _by_hand(published, path, f"The weights could not be downloaded: {error}") from error
    data = part.read_bytes()
    if len(data) < published.n_bytes:
        what = "The download ended early; run again to go on where it stopped"
        raise _by_hand(published, path, what, f"{len(data)} bytes")
    if sha256_of(data) != published.sha256:
        part.unlink()
        raise _by_hand(published, path, "The downloaded file is not the published one", sha256_of(data))
    part.replace(path)


def _fetch(published: WeightFile, part: Path) -> None:
    """Append what `part` still lacks; start over where the server does not know ranges."""
    n_have = part.stat().st_size if part.is_file() else 0
    if n_have == published.n_bytes:
        return
    if n_have > published.n_bytes:
        n_have = 0
    headers = {"Range": f"bytes={n_have}-"} if n_have else {}
    request = urllib.request.Request(published.url, headers={"User-Agent": "jewelenh", **headers})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumes = response.status == 206
        with (
            part.open("ab" if resumes else "wb") as file,
            progress(f"download {published.name}", published.n_bytes, "bytes") as advance,
        ):
            advance(n_have if resumes else 0)
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                advance(len(chunk))


def _by_hand(published: WeightFile, path: Path, what: str, found: str | None = None) -> WeightsError:
    """Say the one thing that helps in every case: what to fetch, what it hashes to, where to put it."""
    return WeightsError(
        f"{what}.",
        where=published.url,
        expected=f"sha256 {published.sha256}, {published.n_bytes} bytes",
        found=found,
        fix=f"put that file at {path}, or give a file you have with enhancer.weights=<file>; "
        "another cache folder: paths.cache_dir=<folder>",
    )
