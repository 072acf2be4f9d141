"""Photos in and out of files, and between uint8 and tensors: the only module that knows pixel ranges.

file                     RGB(A) or grey, 8 or 16 bits, with EXIF orientation, ICC profile
Photo.pixels             (H, W, 3) RGB, uint8 or uint16, upright
Photo.alpha              (H, W), same dtype, or None
to_unit / from_unit      float (..., 3, H, W) in [0, 1]: what a super-resolution network takes
to_signed / from_signed  float (..., 3, H, W) in [-1, 1]: what the refinement network takes
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from jewelenh.errors import ImageError

if TYPE_CHECKING:
    import torch

Pixels: TypeAlias = npt.NDArray[Any]
MAX_PIXELS = 178_956_970
"""Photos with more pixels are refused before they are decoded (Pillow's own bound against decompression bombs)."""
Resample: TypeAlias = Literal["area", "bilinear", "bicubic", "lanczos", "nearest"]
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS is the bound here
_FAITHFUL = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
"""Pillow's 8-bit modes, which become RGB without a guess; 16 bits are OpenCV's."""
_PLANES = ExifTags.Base.PlanarConfiguration
_KINDS = "grey, palette, RGB or CMYK of 8 bits, grey or RGB of 16"
_CV2_RESAMPLE: dict[str, int] = {
    "nearest": cv2.INTER_NEAREST_EXACT,  # the pixel whose centre is nearest; INTER_NEAREST is up to a pixel off
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


@dataclass(frozen=True)
class Photo:
    """A decoded photo, upright, colours and alpha apart."""

    pixels: Pixels
    """(H, W, 3) RGB, uint8 or uint16."""
    alpha: Pixels | None = None
    """(H, W), dtype of `pixels`."""
    is_grey: bool = False
    """The file had one colour channel."""
    icc: bytes | None = None
    """The ICC profile that `pixels` are in, carried along untouched."""
    exif: bytes | None = None
    """EXIF block without its orientation, which is applied."""
    n_frames: int = 1
    """Frames or pages in the file; `pixels` are the first."""

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    def with_pixels(self, pixels: Pixels, alpha: Pixels | None = None) -> Photo:
        """Return a photo of other pixels that keeps profile and EXIF."""
        return replace(self, pixels=pixels, alpha=alpha)

    def as_uint8(self) -> Photo:
        """Return the photo at 8 bits; 16-bit values are rounded, 65535 becomes 255."""
        return replace(self, pixels=to_uint8(self.pixels), alpha=None if self.alpha is None else to_uint8(self.alpha))


def to_uint8(pixels: Pixels) -> Pixels:
    """Round uint16 (65535 becomes 255) and floats in [-1, 1] to uint8; uint8 is returned as it is."""
    if np.issubdtype(pixels.dtype, np.floating):
        return grey_levels(pixels)
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular, non-empty file; FIFOs, sockets and folders are refused, never waited for."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ImageError("This is not a regular file.", where=path)
        data = path.read_bytes()
    except OSError as error:
        broken = " (a link to nothing)" if path.is_symlink() and not path.exists() else ""
        raise ImageError(f"The photo cannot be opened: {error.strerror}{broken}.", where=path) from error
    if not data:
        raise ImageError("The file is empty.", where=path)
    return data


def read_photo(path: Path) -> Photo:
    """Read and decode a photo file."""
    return decode(read_bytes(path), path)


def decode(data: bytes, where: object = "image") -> Photo:
    """Decode JPEG, PNG, WebP, TIFF or BMP bytes to an upright RGB photo.

    CMYK is converted through its own profile to sRGB where it has one. Truncated, unknown and oversized files raise,
    and kinds that cannot be read faithfully, such as floats. Of several frames the first is read.

    Raises:
        ImageError: naming `where` and the reason.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            _require_faithful(image, where)
            return replace(_decode_16bit(image, data) or _decode_8bit(image), n_frames=_count_frames(image))
    except Image.DecompressionBombError as error:
        raise ImageError(
            "The photo is too large.", where=where, expected=f"<= {MAX_PIXELS} pixels", found=error
        ) from error
    except UnidentifiedImageError as error:
        if data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
            what = "This TIFF is damaged, or of a kind that is not read."
            raise ImageError(what, where=where, expected=_KINDS, fix="save it as one of these") from error
        raise ImageError("The file is not an image, whatever its name says.", where=where) from error
    except (OSError, ValueError, SyntaxError, struct.error, zlib.error, cv2.error, MemoryError) as error:
        raise ImageError(f"The photo is damaged: {str(error) or repr(error)}.", where=where) from error


def _require_faithful(image: Image.Image, where: object) -> None:
    """Refuse by name what would come out black, negative or mixed up."""
    found = None
    if _is_16bit(image):
        tags = getattr(image, "tag_v2", {})
        meaning, planes = tags.get(ExifTags.Base.PhotometricInterpretation, 2), tags.get(_PLANES, 1)
        if meaning not in {1, 2} or planes != 1:  # OpenCV gives the negative of 0, and mixes up planes
            found = f"{image.format} of 16 bits, photometric interpretation {meaning}, planar configuration {planes}"
    elif image.mode not in _FAITHFUL:
        meaning = {"F": "floating-point numbers", "I": "signed or 32-bit whole numbers"}.get(image.mode, image.mode)
        found = f"{image.format} of {meaning}"
    if found:
        what = "A photo of this kind cannot be read faithfully."
        raise ImageError(what, where=where, expected=_KINDS, found=found, fix="save it as one of these")


def _count_frames(image: Image.Image) -> int:
    """Count frames or pages; the second picture in a phone's JPEG (MPO) is a map or a preview, no frame."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def n_frames_of(data: bytes) -> int:
    """Return how many frames or pages an image file has, decoding none; 1 for what is no image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _count_frames(image)
    except Exception:  # `decode` says what is wrong with it
        return 1


def _decode_8bit(image: Image.Image) -> Photo:
    is_grey = image.mode in {"L", "LA", "1"}
    icc = image.info.get("icc_profile")
    image.load()
    upright = ImageOps.exif_transpose(image)
    exif = _exif_without_orientation(image)  # takes the orientation away, so only now
    has_alpha = upright.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info
    if upright.mode == "CMYK":
        upright, icc = _cmyk_to_srgb(upright, icc), None
    if not has_alpha:
        return Photo(np.asarray(upright.convert("RGB")), None, is_grey, icc, exif)
    rgba = np.asarray(upright.convert("RGBA"))
    return Photo(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]), is_grey, icc, exif)


def _cmyk_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile: the plain conversion below is what every viewer shows
    return image.convert("RGB")


def _decode_16bit(image: Image.Image, data: bytes) -> Photo | None:
    """Decode 16-bit PNG and TIFF, which Pillow would cut to 8 bits; None for everything else."""
    if image.format not in {"PNG", "TIFF"} or not _is_16bit(image):
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("a 16-bit image that does not decode to 16 bits")
    pixels = _upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))
    icc, exif = image.info.get("icc_profile"), _exif_without_orientation(image)
    if pixels.ndim == 2:
        return Photo(np.repeat(pixels[..., None], 3, axis=2), None, True, icc, exif)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return Photo(np.ascontiguousarray(pixels[..., 2::-1]), alpha, False, icc, exif)


def _is_16bit(image: Image.Image) -> bool:
    if image.mode.startswith("I;16"):
        return True
    if image.format == "PNG":
        return image.mode == "I" or ";16" in str(getattr(image, "tile", ""))
    return image.format == "TIFF" and image.mode != "I" and 16 in tuple(getattr(image, "tag_v2", {}).get(258, ()))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1 to 8, EXIF 2.3, tag 274)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _exif_without_orientation(image: Image.Image) -> bytes | None:
    exif = image.getexif()
    exif.pop(ExifTags.Base.Orientation, None)
    return exif.tobytes() if len(exif) else None


_FAST_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
]
"""Half the time of OpenCV's own choice (SUB, deflate level 1), and files of 0.94 to 1.05 times the size, measured on 60
degraded photos of 262 x 262."""


def encode_png(photo: Photo, compression: int | None = None) -> bytes:
    """Encode losslessly with alpha, profile and EXIF; grey photos of equal channels are stored grey.

    OpenCV writes 8 and 16 bits several times faster than Pillow; profile and EXIF are put in as PNG chunks afterwards.
    `compression` (0 to 9) takes deflate at that level for small files; without it, the fastest setting.
    """
    pixels = photo.pixels[..., ::-1]
    if photo.alpha is not None:
        pixels = np.dstack([pixels, photo.alpha])
    elif (
        photo.is_grey
        and np.array_equal(pixels[..., 0], pixels[..., 1])
        and np.array_equal(pixels[..., 0], pixels[..., 2])
    ):
        pixels = pixels[..., 0]
    options = _FAST_PNG if compression is None else [cv2.IMWRITE_PNG_COMPRESSION, compression]
    ok, data = cv2.imencode(".png", np.ascontiguousarray(pixels), options)
    if not ok:
        raise ImageError("OpenCV could not encode the photo as PNG.", found=f"{pixels.shape} {pixels.dtype}")
    chunks = b""
    if photo.icc and (pixels.ndim == 2 or not _is_for_grey(photo.icc)):
        chunks += _png_chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(photo.icc))
    if photo.exif:
        chunks += _png_chunk(b"eXIf", photo.exif.removeprefix(b"Exif\x00\x00"))
    end_of_header = 8 + 25  # signature, then the IHDR chunk
    encoded = data.tobytes()
    return encoded[:end_of_header] + chunks + encoded[end_of_header:]


def _is_for_grey(icc: bytes) -> bool:
    """Say whether a profile describes one channel, so that it cannot go on a photo that became coloured."""
    return icc[16:20] == b"GRAY"  # ICC.1:2022, 7.2.6


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode(photo: Photo, suffix: str, quality: int = 95) -> bytes:
    """Encode by file ending: `.png` losslessly, `.jpg` (alpha on white) and `.webp` at 8 bits, `quality` 1 to 100."""
    suffix = suffix.lower()
    if suffix == ".png":
        return encode_png(photo)
    if suffix not in {".jpg", ".jpeg", ".webp"}:
        raise ImageError("Photos are written as PNG, JPEG or WebP.", found=suffix, expected=".png .jpg .jpeg .webp")
    eight = photo.as_uint8()
    pixels = eight.pixels
    if eight.alpha is not None and suffix == ".webp":
        pixels = np.dstack([pixels, eight.alpha])
    elif eight.alpha is not None:
        share = eight.alpha[..., None].astype(np.float32) / 255
        pixels = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)
    buffer = io.BytesIO()
    icc = None if photo.icc and _is_for_grey(photo.icc) else photo.icc
    options: dict[str, Any] = {"quality": quality, "icc_profile": icc, "exif": photo.exif or b""}
    if suffix != ".webp":
        options["subsampling"] = 0 if quality >= 90 else 2
    Image.fromarray(pixels).save(buffer, format="WEBP" if suffix == ".webp" else "JPEG", **options)
    return buffer.getvalue()


def resize(pixels: Pixels, height: int, width: int, method: Resample) -> Pixels:
    """Resize (H, W) or (H, W, 3) pixels with OpenCV; `area` enlarges bilinearly, as it only averages when shrinking."""
    if pixels.shape[:2] == (height, width):
        return pixels
    enlarges = height > pixels.shape[0] or width > pixels.shape[1]
    flag = cv2.INTER_LINEAR if method == "area" and enlarges else _CV2_RESAMPLE[method]
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=flag))


def covering(pixels: Pixels, height: int, width: int, shrink: Resample = "area") -> Pixels:
    """Bring (H, W, 3) pixels to a size by the pairs' geometry: scaled to cover it, then cropped in the centre."""
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = max(height, round(pixels.shape[0] * scale)), max(width, round(pixels.shape[1] * scale))
    resized = resize(pixels, tall, wide, "bicubic" if scale > 1 else shrink)
    top, left = (tall - height) // 2, (wide - width) // 2
    return resized[top : top + height, left : left + width]


def to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 or uint16 to float32 in [0, 1]; in place after the first pass, as memory is what takes the time."""
    import torch

    return pixels.to(torch.float32).div_(255.0 if pixels.dtype == torch.uint8 else 65535.0)


def from_unit(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Clamp to [0, 1], scale to uint8 or uint16 and round half to even."""
    import torch

    top = 255.0 if dtype == torch.uint8 else 65535.0
    return (values.to(torch.float32).clamp(0, 1) * top).round().to(dtype)


def to_signed(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 or uint16 to float32 in [-1, 1]."""
    return to_unit(pixels).mul_(2).sub_(1)


def from_signed(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Map [-1, 1] back to uint8 or uint16; the inverse of `to_signed`."""
    return from_unit((values.float() + 1) / 2, dtype)


def signed_array(pixels: Pixels, dtype: Literal["float32", "float16"]) -> Pixels:
    """Map uint8 or uint16 to floats in [-1, 1]: `to_signed` without torch, and to the same float32 bits."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(dtype)  # in [-1, 1] already
    top = np.float32(255.0 if pixels.dtype == np.uint8 else 65535.0)
    return (pixels.astype(np.float32) / top * np.float32(2) - np.float32(1)).astype(dtype)


def grey_levels(values: Pixels) -> Pixels:
    """Return floats in [-1, 1], or uint8, as the nearest uint8 grey levels; the inverse of `signed_array`."""
    if values.dtype == np.uint8:
        return values
    return np.asarray(np.rint(((values.astype(np.float32) + 1) / 2).clip(0, 1) * 255), np.uint8)
