"""A file that somebody dropped: held against the limits before a pixel is decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from jewelenh.config import Limits
from jewelenh.errors import ImageError
from jewelenh.images import Photo, decode, read_bytes
from jewelenh.manifest import sha256_of
from jewelenh.restoration.results import Metadata, with_metadata


@dataclass(frozen=True)
class Upload:
    """A decoded file."""

    name: str
    sha256: str
    photo: Photo


def read_upload(path: Path, limits: Limits, metadata: Metadata = "safe") -> Upload:
    """Read a dropped file, with the EXIF that the results may carry.

    Raises:
        ImageError: empty, too large, damaged, or no image; `where` is its name alone, not where the demo keeps it.
    """
    name = path.name
    try:
        data = read_bytes(path)
    except ImageError as error:
        raise ImageError(error.what, where=name) from error
    if len(data) > limits.file_mb * 1e6:
        raise ImageError(
            "The file is too large.",
            where=name,
            expected=f"at most {limits.file_mb:g} MB",
            found=f"{len(data) / 1e6:.1f} MB",
            fix="a smaller file, or start the demo with a larger limits.file_mb",
        )
    _check_pixels(data, name, limits)
    return Upload(name, sha256_of(data), with_metadata(decode(data, name), metadata))


def _check_pixels(data: bytes, name: str, limits: Limits) -> None:
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header only
            width, height = image.size
    except Exception:
        return  # `decode` says what is wrong with it
    if width * height > limits.megapixels * 1e6:
        raise ImageError(
            "The photo has too many pixels for the demo.",
            where=name,
            expected=f"at most {limits.megapixels:g} megapixels",
            found=f"{width}x{height}, {width * height / 1e6:.1f} megapixels",
            fix="a smaller photo, a larger limits.megapixels, or python -m jewelenh.predict, which has no limit",
        )
