"""The weight files that are known by name, as their authors published them, and what each must hash to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
