"""What happens to a photo on its way to the shop: made smaller and larger again, and compressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from jewelenh.images import Pixels, Resample, resize


def downscale_and_back(pixels: Pixels, factor: float, method: Resample) -> Pixels:
    """Resize (H, W, 3) uint8 to `factor` (above 0, up to 1) of its sides, at least one pixel, and back by one method.

    Sides round half up. albumentations' Downscale fails on photos whose small side rounds to 0.
    """
    height, width = pixels.shape[:2]
    with _without_ipp():
        small = resize(pixels, _side(height, factor), _side(width, factor), method)
        return resize(small, height, width, method)


@contextmanager
def _without_ipp() -> Iterator[None]:
    """Switch Intel's library off, in this thread: its bicubic gives other bytes on other processors, OpenCV's does not.

    Measured with OPENCV_IPP and OPENCV_CPU_DISABLE set to each choice; the other methods do not depend on it.
    """
    before = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(before)


def _side(side_px: int, factor: float) -> int:
    return max(1, int(side_px * factor + 0.5))


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Store (H, W, 3) uint8 RGB as a baseline JPEG of `quality` 1 to 100 with 4:2:0 chroma, and read it back.

    The channels are swapped for OpenCV, which takes BGR. albumentations' ImageCompression hands RGB over as it is, so
    that its JPEG keeps the detail of blue where a real one keeps red's: not the artefacts of any real file.
    """
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"OpenCV could not store {pixels.shape[1]} x {pixels.shape[0]} pixels as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
