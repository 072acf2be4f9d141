"""Photo files of every strange kind, as bytes: those that must come out right, and those that must be refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from jewelenh.images import Photo, encode_png

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Return (height, width, 3) random values."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, 3), dtype=dtype, endpoint=True)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image file of Pillow's `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    """Return EXIF with a maker and an orientation."""
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Maker"
    block[ExifTags.Base.Orientation] = orientation
    return block


def header_bomb() -> bytes:
    """Return a PNG file that says it has 40,000 x 40,000 pixels, and none of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


RGB = Image.fromarray(noise(12, 20))
GOOD: dict[str, bytes] = {
    "cmyk.jpg": saved(RGB.convert("CMYK"), "JPEG"),
    "palette.png": saved(RGB.convert("P"), "PNG"),
    "alpha.png": encode_png(Photo(noise(12, 20), noise(12, 20, 5)[..., 0])),
    "deep.png": encode_png(Photo(noise(12, 20, dtype=np.uint16))),
    "grey.png": saved(RGB.convert("L"), "PNG"),
    "rotated.jpg": saved(RGB, "JPEG", exif=exif(6), icc_profile=SRGB, quality=95),
    "one.png": encode_png(Photo(noise(1, 1))),
    'it\'s "a" 💍\nring é.png': encode_png(Photo(noise(12, 20, 3))),
}
SIZES = dict.fromkeys(GOOD, (12, 20)) | {"rotated.jpg": (20, 12), "one.png": (1, 1)}
"""(height, width) of the good ones, upright."""
BAD: dict[str, tuple[bytes, str]] = {
    "cut.jpg": (saved(RGB, "JPEG")[:300], "damaged"),
    "text.png": (b"this is no picture", "not an image"),
    "bomb.png": (header_bomb(), "too large"),
    "empty.jpg": (b"", "empty"),
}
"""What must be refused, and a word of the reason."""


def write_all(root: Path, files: dict[str, bytes]) -> Path:
    """Write the files below `root`."""
    for name, data in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root
