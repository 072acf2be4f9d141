"""What the page shows of a result: whole pictures at a browser's size, and one place of all three enlarged."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from jewelenh.images import Photo, Pixels, Resample, resize, to_uint8

WHOLE_PX = 1400
"""Longest side of the pictures under the slider."""
PANEL_PX = 640
"""Longest side of the three pictures side by side."""
MOST_ZOOM = 16.0


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
    part = photo.with_pixels(photo.pixels[rows, columns], alpha)
    factor = PANEL_PX / max(size)
    return _shown(part, max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))


def whole(photo: Photo, size: tuple[int, int]) -> Pixels:
    """Return a photo as (h, w, 3) uint8 sRGB for the slider, at the aspect of `size` and at most `WHOLE_PX` long."""
    factor = min(1.0, WHOLE_PX / max(size))
    return _shown(photo, max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))


def _shown(photo: Photo, height: int, width: int) -> Pixels:
    shrinks = height * width < photo.size[0] * photo.size[1]
    method: Resample = "area" if shrinks else "bicubic"
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
