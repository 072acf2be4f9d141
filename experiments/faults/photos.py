"""Photos of every strange kind through `predict`, all in one run for each place: what is read, and what is refused."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms
from place import Ended, Place, Skipped, draw_ring

RING = np.ascontiguousarray(draw_ring(5, 24)[..., ::-1])
DEEP = RING.astype(np.uint16) * 257
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """Return an image file of Pillow's `kind`."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def opencv(ending: str, values: np.ndarray) -> bytes:
    """Return an image file as OpenCV writes it."""
    return cv2.imencode(ending, values[..., ::-1] if values.ndim == 3 else values)[1].tobytes()


def tiff(values: np.ndarray, **options: object) -> bytes:
    """Return a TIFF file of any kind."""
    try:
        import tifffile
    except ImportError as error:
        raise Skipped("tifffile is not installed") from error
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """Return EXIF with an orientation."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """Return the ring as PNG with one chunk more after its header."""
    png = saved(RING, "PNG")
    return png[:33] + chunk(kind, data) + png[33:]


def png_of_size(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG that says it has a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (24, 24), "blue")]}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "float.tif": (lambda: saved(RING[..., 0].astype(np.float32) / 255, "TIFF"), "faithfully"),
    "float3.tif": (lambda: tiff(RING.astype(np.float32) / 255, photometric="rgb"), "not read"),
    "int32.tif": (lambda: saved(RING[..., 0].astype(np.int32) << 16, "TIFF"), "faithfully"),
    "negative.tif": (lambda: tiff(DEEP[..., 0], photometric="miniswhite"), "faithfully"),
    "planes.tif": (lambda: tiff(DEEP.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), "faithfully"),
    "cut.jpg": (lambda: saved(RING, "JPEG", quality=95)[:500], "damaged"),
    "cut.png": (lambda: saved(RING, "PNG")[:-60], "damaged"),
    "flipped.png": (lambda: saved(RING, "PNG")[:60] + b"\xff" * 9 + saved(RING, "PNG")[69:], "damaged"),
    "empty.jpg": (lambda: b"", "empty"),
    "text.png": (lambda: b"no picture", "not an image"),
    "page.jpg": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", "not an image"),
    "drawing.png": (
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "not an image",
    ),
    "header bomb.png": (lambda: png_of_size(60_000, 60_000), "too large"),
    "tiff bomb.tif": (lambda: tiff_of_size(60_000), "too large"),
    "text bomb.png": (lambda: with_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(200 << 20), 9)), ""),
    "zip.png": (lambda: b"PK\x03\x04" + bytes(500), "not an image"),
}
"""Name -> file, and a word of the reason; with no word it may also be restored."""
READ: dict[str, Callable[[], bytes]] = {
    "cmyk.jpg": lambda: saved(Image.fromarray(RING).convert("CMYK"), "JPEG", quality=100),
    "cmyk with profile.jpg": lambda: saved(
        Image.fromarray(RING).convert("CMYK"), "JPEG", icc_profile=b"none", quality=100
    ),
    "16 bits.png": lambda: opencv(".png", DEEP),
    "16 bits.tif": lambda: opencv(".tiff", DEEP),
    "grey.png": lambda: saved(Image.fromarray(RING).convert("L"), "PNG"),
    "palette.png": lambda: saved(Image.fromarray(RING).convert("P"), "PNG"),
    "alpha.png": lambda: saved(Image.fromarray(RING).convert("RGBA"), "PNG"),
    "turned.jpg": lambda: saved(RING[:, :20], "JPEG", exif=exif(6), quality=95),
    "broken profile.jpg": lambda: saved(RING, "JPEG", icc_profile=b"\0" * 200, quality=95),
    "broken exif.jpg": lambda: saved(RING, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xee" * 50, quality=95),
    "line.png": lambda: saved(np.zeros((1, 500, 3), np.uint8), "PNG"),
    "dot.png": lambda: saved(np.zeros((1, 1, 3), np.uint8), "PNG"),
    "gif in disguise.png": lambda: saved(RING, "GIF", **FRAMES),
    "frames.webp": lambda: saved(RING, "WEBP", **FRAMES),
    "apng.png": lambda: saved(RING, "PNG", **FRAMES),
    "pages.tif": lambda: saved(RING, "TIFF", **FRAMES),
}
NAMES = {
    "quotes": "a'b\"c.png",
    "a command": "$(touch pwned); rm -rf x.png",
    "a new line": "a\nb.png",
    "an emoji": "\U0001f48d ring.png",
    "a leading dash": "--output=x.png",
    "Hydra's grammar": "a=${oc.env:HOME},[b]{c}.png",
    "HTML": "<img src=x onerror=alert(1)>.png",
    "bytes that are no UTF-8": b"r\xe9\xff.png".decode("utf-8", "surrogateescape"),
    "255 bytes": "a" * 251 + ".png",
    "two endings": "a.jpg.png",
}


def tiff_of_size(side: int) -> bytes:
    """Return a TIFF that says it has a size, and no pixels."""
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in [*tags, (278, 4, 1, side), (279, 4, 1, 9)])
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 8) + entries + b"\0\0\0\0"


_DONE: dict[Path, tuple[Path, Ended]] = {}


def _restored(place: Place) -> tuple[Path, Ended]:
    """Restore all strange photos in one run, once; return the folder and how it ended."""
    if place.shared not in _DONE:
        own = Place(place.shared / "strange", place.shared)
        own.photos = own.root / "in"
        own.photos.mkdir(parents=True)
        for name, make in {**READ, **{name: make for name, (make, _) in REFUSED.items()}}.items():
            try:
                (own.photos / name).write_bytes(make())
            except Skipped:
                continue
        os.mkfifo(own.photos / "fifo.png")
        (own.photos / "zero.png").symlink_to("/dev/zero")
        (own.photos / "nothing.png").symlink_to(own.root / "nowhere")
        (own.photos / "loop.png").symlink_to("loop.png")
        (own.photos / "folder.png").mkdir()
        (own.photos / "loop").symlink_to(own.photos)
        _DONE[place.shared] = own.root, own.job("predict", "format=png", "scale=null")
    return _DONE[place.shared]


def refused(place: Place, name: str, word: str | None = None) -> None:
    """A photo that cannot be read well is a failure with its reason, and is not written; the rest is."""
    root, ended = _restored(place)
    word = REFUSED[name][1] if word is None else word
    ended.refused("could not be restored")
    failures = json.loads((root / "restored/failed.json").read_text())
    if name in REFUSED and not (root / "in" / name).exists():
        raise Skipped("tifffile is not installed")
    assert word in failures.get(name, ""), f"{failures.get(name)}"
    assert not [path for path in (root / "restored").iterdir() if path.name.startswith(name)]


def not_harmful(place: Place, name: str) -> None:
    """A photo that tries to use up memory is restored or refused, within the memory of a photo."""
    root, _ = _restored(place)
    failures = json.loads((root / "restored/failed.json").read_text())
    assert name in failures or (root / "restored" / name).is_file()


def read(place: Place, name: str, says: str = "") -> None:
    """A strange photo is restored to four times its upright size, and looks as it did."""
    root, ended = _restored(place)
    failures = json.loads((root / "restored/failed.json").read_text())
    assert name not in failures, failures.get(name)
    file = root / "restored" / (name if name.endswith(".png") else f"{name}.png")
    restored = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    size = {"turned.jpg": (80, 96), "line.png": (4, 2000), "dot.png": (4, 4)}.get(name, (96, 96))
    assert restored.shape[:2] == size, restored.shape
    assert (restored.dtype == np.uint16) == ("16 bits" in name), restored.dtype
    if size == (96, 96):
        small = cv2.resize(
            restored[..., :3].astype(np.float32) if restored.ndim == 3 else restored,
            (24, 24),
            interpolation=cv2.INTER_AREA,
        )
        grey = small.mean(axis=2) if small.ndim == 3 else small
        error = np.abs(grey / (257 if restored.dtype == np.uint16 else 1) - RING.mean(axis=2)).mean()
        assert error < 25, f"differs by {error:.0f} grey levels"
    assert says in ended.said and (not says or name in ended.said), "says nothing of it"


def named(place: Place, name: str) -> None:
    """A photo of a hostile name goes through fetch, degrade and predict, and comes out under its name."""
    place.photos = place.root / "in"
    place.photos.mkdir()
    path = place.photos / name
    path.write_bytes(saved(RING, "PNG"))
    long = len(os.fsencode(name)) > 250
    ended = place.job("degrade")
    if long:  # .png is added there
        ended.refused("too long")
    else:
        ended.succeeded()
        (stage,) = (place.data / "degraded").iterdir()
        assert (stage / f"{name}.png").is_file()
    place.job("predict").succeeded()
    assert (place.root / "restored" / name).is_file()
    assert not (place.root / "pwned").exists()


def index_says(place: Place) -> None:
    """Frames that are not read and endings that are left out are counted and named by fetch."""
    photos = place.own_photos()
    (photos / "pages.tif").write_bytes(saved(RING, "TIFF", **FRAMES))
    (photos / "photo.heic").write_bytes(b"x")
    said = place.job("fetch").succeeded().said
    assert "pages.tif" in said and "1 .heic" in said, said[-400:]


def metadata(place: Place, kind: str) -> None:
    """Place, serial number and owner of a photo are in the result only where `metadata=keep` asks for it."""
    block = Image.Exif()
    block[ExifTags.Base.Artist] = "An Owner"
    block.get_ifd(ExifTags.IFD.Exif)[0xA431] = "SN-12345"
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 0.0)})
    place.photos = place.root / "in"
    place.photos.mkdir()
    (place.photos / "a.jpg").write_bytes(saved(RING, "JPEG", exif=block, icc_profile=SRGB))
    place.job("predict", *([f"metadata={kind}"] if kind else [])).succeeded()
    data = (place.root / "restored/a.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        has_place, icc = ExifTags.IFD.GPSInfo in image.getexif(), image.info.get("icc_profile")
    assert icc == SRGB, "the colour profile is lost"
    assert (b"An Owner" in data, b"SN-12345" in data, has_place) == (kind == "keep",) * 3
