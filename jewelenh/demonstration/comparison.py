"""Comparing the pictures of a result: side by side at a browser's size, one place of all enlarged, and in numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from jewelenh.errors import ImageError
from jewelenh.images import Photo, Pixels, Resample, resize, to_uint8
from jewelenh.metrics import METRICS, scores_of

WHOLE_PX = 1400
"""Longest side of the pictures under the slider."""
PANEL_PX = 640
"""Longest side of the three pictures side by side."""
MOST_ZOOM = 16.0
LONGEST_PX = 2048
"""Larger pictures are scored at this long side, which the table says: memory stays flat."""
SCORED = [METRICS[name] for name in ("psnr_db", "ssim", "ciede2000")]
SHORTEST_PX = max(metric.smallest_side_px for metric in SCORED)
SAME_SHAPE = 0.02
"""Aspect ratios may differ by this share: a photo of 263 pixels may have lost one on the way."""


@dataclass(frozen=True)
class View:
    """Which part of the pictures the panels show."""

    zoom: float = 1.0
    """1 shows all, 4 a quarter of each side."""
    x: float = 0.5
    y: float = 0.5
    """The middle of the part, as shares of width and height."""

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom as shares, moved inside the picture."""
        side = 1 / min(max(self.zoom, 1.0), MOST_ZOOM)
        left = min(max(self.x - side / 2, 0.0), 1 - side)
        top = min(max(self.y - side / 2, 0.0), 1 - side)
        return left, top, left + side, top + side

    def moved_to(self, x: float, y: float) -> View:
        """Return the view with the point (x, y), given as shares of what is shown, in its middle."""
        left, top, right, bottom = self.box()
        return View(self.zoom, left + x * (right - left), top + y * (bottom - top))


def panel(photo: Photo, view: View, size: tuple[int, int]) -> Pixels:
    """Return the view of a photo as (h, w, 3) uint8 sRGB; `size` is the restored photo's, so that all panels are equal.

    Enlarged pixels are interpolated (bicubic), the same way in all panels.
    """
    height, width = photo.size
    left, top, right, bottom = view.box()
    columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
    rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    return _shown(photo.with_pixels(photo.pixels[rows, columns], alpha), size, PANEL_PX / max(size))


def whole(photo: Photo, size: tuple[int, int]) -> Pixels:
    """Return a photo as (h, w, 3) uint8 sRGB for the slider, at the aspect of `size` and at most `WHOLE_PX` long."""
    return _shown(photo, size, min(1.0, WHOLE_PX / max(size)))


def _shown(photo: Photo, size: tuple[int, int], factor: float) -> Pixels:
    height, width = (max(1, round(side * factor)) for side in size)
    method: Resample = "area" if height * width < photo.size[0] * photo.size[1] else "bicubic"
    pixels = resize(np.ascontiguousarray(to_uint8(photo.pixels)), height, width, method)
    if photo.alpha is not None:
        alpha = resize(np.ascontiguousarray(to_uint8(photo.alpha)), height, width, method)
        share = alpha[..., None].astype(np.float32) / 255
        pixels = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)
    return _as_srgb(pixels, photo.icc)


def _as_srgb(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Return what a browser is to show of pixels in a colour profile; the file to download keeps its profile."""
    if icc is None:
        return pixels
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        shown = ImageCms.profileToProfile(Image.fromarray(pixels), profile, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return pixels  # a broken or a grey profile: what every viewer does
    return pixels if shown is None else np.asarray(shown)


@dataclass(frozen=True)
class Scores:
    """What pictures measure against one reference."""

    against: str
    """What it was compared to, or why it could not be."""
    size: tuple[int, int] | None
    """(height, width) it was compared at; None where it was not."""
    rows: Mapping[str, Mapping[str, float]]
    """Picture -> metric -> value."""

    @property
    def gain(self) -> Mapping[str, float]:
        """Return how far the last picture is from the first."""
        first, *_, last = self.rows.values()
        return {name: last[name] - first[name] for name in first}


def score(reference: Photo, called: str, pictures: Mapping[str, Photo]) -> Scores:
    """Score pictures of equal size against `reference`, all brought to the smaller of the two sizes.

    Raises:
        ImageError: the reference has another shape, or is too small.
    """
    size = _common_size(reference.size, next(iter(pictures.values())).size, called)
    target = resize(to_uint8(reference.pixels), *size, "area")
    shrunk = {name: resize(to_uint8(photo.pixels), *size, "area") for name, photo in pictures.items()}
    return Scores(called, size, {name: scores_of(pixels, target, SCORED) for name, pixels in shrunk.items()})


def _common_size(reference: tuple[int, int], picture: tuple[int, int], called: str) -> tuple[int, int]:
    if abs(reference[0] * picture[1] / (reference[1] * picture[0]) - 1) > SAME_SHAPE:
        raise ImageError(
            "The reference has another shape than the photo, so there are no scores.",
            where=called,
            expected=f"{picture[1]}x{picture[0]} or a size of the same shape",
            found=f"{reference[1]}x{reference[0]}",
        )
    height, width = min(reference, picture)
    factor = min(1.0, LONGEST_PX / max(height, width))
    height, width = round(height * factor), round(width * factor)
    if min(height, width) < SHORTEST_PX:
        raise ImageError(f"For scores a photo needs {SHORTEST_PX} pixels a side.", where=called)
    return height, width
