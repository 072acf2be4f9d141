"""The weight files of an enhancer: found, checked against their hashes, read.

A file in the registry is downloaded on first use into the user's cache and trusted only with the right SHA-256. A file
given with `enhancer.weights` is taken as it is: its own hash is what gets logged and recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from jewelenh.config import Enhancer, nearest
from jewelenh.enhancement.download import cached
from jewelenh.enhancement.releases import REGISTRY, Known, Release
from jewelenh.errors import WeightsError

ALGORITHM = 1
"""Goes up when the same photo and weights give another picture than before."""


@dataclass(frozen=True)
class WeightFile:
    """One weight file an enhancer is made of, and its share where several are interpolated."""

    sha256: str
    share: float = 1.0
    path: Path | None = None
    """Where it lies; None for a release that is yet to be looked up in the cache."""
    release: Release | None = None

    def read(self, cache_dir: Path | None) -> bytes:
        """Return the file's bytes, downloaded on first use; what does not hash to `sha256` is refused."""
        if self.path is None:
            assert self.release is not None
            return cached(self.release, cache_dir or default_cache_dir())
        data = _read(self.path)
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise WeightsError("A weight file changed while it was used.", where=self.path, fix="run again")
        return data

    @property
    def name(self) -> str:
        """Return the file name."""
        return self.path.name if self.path else self.release.file if self.release else "?"


@dataclass(frozen=True)
class Weights:
    """All files of one enhancer."""

    files: Sequence[WeightFile] = field(default_factory=tuple)

    @property
    def identity(self) -> list[dict[str, object]]:
        """Return hashes and shares: what of the weights decides the result."""
        return [{"sha256": file.sha256, "share": file.share} for file in self.files]


def find_weights(enhancer: Enhancer) -> Weights:
    """Return what `enhancer` is made of, without downloading or reading a release.

    Raises:
        WeightsError: no such name, no such file, or `denoise_strength` where there is nothing to interpolate.
    """
    known = REGISTRY.get(enhancer.name)
    main = _main_file(enhancer, known)
    if enhancer.denoise_strength is None or enhancer.denoise_strength == 1:
        return Weights((main,))
    if known is None or known.wdn is None:
        raise WeightsError(
            "enhancer.denoise_strength needs a second, weaker-denoising weight file, which this enhancer has not.",
            where=f"enhancer={enhancer.name}",
            fix="enhancer=general_x4v3, or leave enhancer.denoise_strength at null",
        )
    share = enhancer.denoise_strength
    wdn = WeightFile(known.wdn.sha256, 1 - share, release=known.wdn)
    return Weights((wdn,)) if share == 0 else Weights((WeightFile(main.sha256, share, main.path, main.release), wdn))


def identity_of(enhancer: Enhancer) -> dict[str, Any]:
    """Return what decides an enhanced photo besides the photo: no paths, nothing of how it runs.

    The hash of the weights stands for architecture and scale.
    """
    weights = find_weights(enhancer)
    identity = {"algorithm": ALGORITHM, "engine": enhancer.engine, "weights": weights.identity}
    return {**identity, "strength": enhancer.strength}


def _main_file(enhancer: Enhancer, known: Known | None) -> WeightFile:
    if enhancer.weights is not None:
        return _given(enhancer.weights, "enhancer.weights")
    if known is None:
        raise WeightsError(
            f"The registry has no enhancer {enhancer.name!r}.{nearest(enhancer.name, list(REGISTRY))}",
            expected=f"one of {', '.join(REGISTRY)}",
            fix="give a weight file of your own with enhancer.weights=<file.pth or file.safetensors>",
        )
    if known.release is not None:
        return WeightFile(known.release.sha256, release=known.release)
    assert known.embedded is not None
    if not known.embedded.is_file():
        raise WeightsError(
            f"The embedded enhancer {enhancer.name!r} is not in this installation.",
            where=known.embedded,
            fix="enhancer=general_x4v3 (downloaded once, 5 MB), or enhancer.weights=<file of your own>",
        )
    return _given(known.embedded, f"enhancer={enhancer.name}")


def _given(path: Path, key: str) -> WeightFile:
    path = path.expanduser()
    if path.suffix.lower() not in {".pth", ".safetensors"}:
        raise WeightsError("This is no weight file.", where=f"{key}={path}", expected=".pth or .safetensors")
    return WeightFile(hashlib.sha256(_read(path)).hexdigest(), path=path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"A weight file cannot be read: {error.strerror}.", where=path.absolute()) from error


def default_cache_dir() -> Path:
    """Return the user's cache folder for weights: `~/.cache/jewelenh/weights` on Linux."""
    return user_cache_path("jewelenh") / "weights"
