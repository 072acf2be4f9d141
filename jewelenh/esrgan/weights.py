"""Which weight files exist, where they come from, and what they must hash to.

A file in the registry is downloaded on first use into the user's cache and trusted only with the right SHA-256. A file
given with `enhancer.weights` is taken as it is: its own hash is what gets logged and recorded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jewelenh.config import Enhancer, nearest
from jewelenh.errors import WeightsError

_RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"


@dataclass(frozen=True)
class Release:
    """A weight file as its authors published it."""

    file: str
    url: str
    n_bytes: int
    sha256: str
    licence: str = "BSD-3-Clause, (c) 2021 Xintao Wang"


@dataclass(frozen=True)
class Known:
    """An enhancer the registry knows by name: a release to download, or a file inside this package."""

    release: Release | None = None
    wdn: Release | None = None
    """The weaker-denoising twin that `denoise_strength` interpolates with."""
    embedded: Path | None = None
    tiles_exactly: bool = False
    """Its receptive radius is small enough to pad for, so that tiles do not change the result."""


REGISTRY: dict[str, Known] = {
    "x4plus": Known(
        Release(
            "RealESRGAN_x4plus.pth",
            f"{_RELEASES}/v0.1.0/RealESRGAN_x4plus.pth",
            67040989,
            "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        )
    ),
    "x2plus": Known(
        Release(
            "RealESRGAN_x2plus.pth",
            f"{_RELEASES}/v0.2.1/RealESRGAN_x2plus.pth",
            67061725,
            "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        )
    ),
    "general_x4v3": Known(
        Release(
            "realesr-general-x4v3.pth",
            f"{_RELEASES}/v0.2.5.0/realesr-general-x4v3.pth",
            4885111,
            "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        ),
        wdn=Release(
            "realesr-general-wdn-x4v3.pth",
            f"{_RELEASES}/v0.2.5.0/realesr-general-wdn-x4v3.pth",
            4885111,
            "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
        ),
        tiles_exactly=True,
    ),
    "compact": Known(embedded=Path(__file__).parent.parent / "sample" / "compact.safetensors", tiles_exactly=True),
}


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
            from jewelenh.esrgan.download import cached

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
    """Return the user's cache folder for weights (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jewelenh" / "weights"
