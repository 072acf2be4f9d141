"""How restored photos become files: names, what each format can hold, bytes. Predict and the demo share it."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path

import cv2
from PIL import ExifTags, Image

from jewelenh.config import Metadata, Output
from jewelenh.errors import ImageError
from jewelenh.images import Photo, encode

WRITABLE = (".jpg", ".jpeg", ".png", ".webp")
LONGEST_SIDE_PX = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""What libjpeg (JPEG_MAX_DIMENSION) and libwebp (WEBP_MAX_DIMENSION) write; PNG has room for all photos."""
ENHANCED = "_enhanced"
"""Ends the name of the enhancer's own picture."""

PRIVATE = {
    *(0x013B, 0x013C, 0x9C9D, 0xA430),  # Artist, HostComputer, XPAuthor, CameraOwnerName
    *(0xA420, 0xA431, 0xA435, 0xC62F),  # ImageUniqueID, serial numbers of body, lens, and camera (DNG)
    *(0x8825, 0x927C, 0x02BC, 0x83BB, 0x8649),  # GPS, and blocks that may repeat it all: maker's, XMP, IPTC, Photoshop
}
"""EXIF tags that say where, by whom, or with which device; the copyright stays, which is meant to be read."""


def result_name(stem: str, output: Output) -> str:
    """Return the file a photo's result goes to, relative like `stem`.

    An ending that changes is added, so that the results of a.jpg and a.tif never meet.
    """
    suffix = Path(stem).suffix.lower()
    if output.format == "same":
        return stem if suffix in WRITABLE else f"{stem}.png"
    fits = suffix == f".{output.format}" or {suffix, output.format} == {".jpeg", "jpg"}
    return stem if fits else f"{stem}.{output.format}"


def with_metadata(photo: Photo, metadata: Metadata) -> Photo:
    """Return a photo with the EXIF that its result may carry; pixels are upright already, whatever is left out."""
    if metadata == "keep" or photo.exif is None:
        return photo
    exif = Image.Exif()
    try:
        exif.load(photo.exif if metadata == "safe" else b"")
        for block in (exif.get_ifd(ExifTags.IFD.Exif), exif):
            for tag in PRIVATE & set(block):
                del block[tag]
        data = exif.tobytes() if len(exif) else None
    except (ValueError, TypeError, KeyError, OSError, SyntaxError, struct.error):  # damaged, so not known to be safe
        data = None
    return replace(photo, exif=data)


def names_of(stem: str, output: Output) -> list[str]:
    """Return every file that a photo's result takes: the restored photo and, with `stages`, the enhancer's picture."""
    name = result_name(stem, output)
    path = Path(name)
    return [name, path.with_stem(path.stem + ENHANCED).as_posix()] if output.stages else [name]


def check_fits(photo: Photo, name: str, output: Output, factor: int) -> None:
    """Refuse, before any work, a photo whose result its format cannot hold; `factor` is the enhancer's.

    Raises:
        ImageError: naming the format's limit and what would fit.
    """
    suffix = Path(name).suffix.lower()
    longest = LONGEST_SIDE_PX.get(suffix)
    scale = factor if output.scale is None else output.scale
    height, width = (round(side * scale) for side in photo.size)
    if longest is not None and max(height, width) > longest:
        raise ImageError(
            f"The result is too large for {suffix}.",
            where=name,
            expected=f"at most {longest} pixels a side",
            found=f"{width}x{height}",
            fix=f"format=png, or scale={math.floor(longest / max(photo.size) * 1000) / 1000:g} or less",
        )


def photo_file(photo: Photo, name: str, output: Output) -> bytes:
    """Return a photo as the bytes of file `name`.

    Raises:
        ImageError: it cannot be encoded so.
    """
    try:
        return encode(photo, Path(name).suffix, output.quality)
    except (OSError, ValueError, cv2.error, MemoryError) as error:  # EXIF too long for JPEG, for one
        raise ImageError(f"The result cannot be encoded: {error}.", where=name, fix="format=png") from error
