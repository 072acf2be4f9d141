"""What a level does to a photo, colours apart: blur, downscale, noise, JPEG; to the same bytes on every machine."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from jewelenh.images import Pixels, Resample, resize

WEIGHT_UNIT = 1 / 4096
"""Motion weights are whole multiples of this: 8-bit pixel times 12-bit weight is exact in float32, in any order."""
_GAUSSIAN, _SALT_PEPPER = 0, 1  # each kind of noise has its own stream of the drawn seed


def gaussian_blur(pixels: Pixels, sigma_px: float) -> Pixels:
    """Blur (H, W, 3) uint8 with a Gaussian of standard deviation `sigma_px`, mirrored at the borders.

    OpenCV's 8-bit path is fixed-point arithmetic: measured equal with its vector units and IPP on and off, within two
    grey levels of the real-valued blur and on average 0.3 (0.25 is what rounding alone takes). albumentations'
    GaussianBlur goes through `sepFilter2D`, whose bytes differ between a processor with AVX2 and one without, and
    divides by zero at sigma 0.
    """
    if sigma_px <= 0:
        return pixels
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma_px))


def motion_blur(pixels: Pixels, length_px: float, angle_deg: float) -> Pixels:
    """Blur (H, W, 3) uint8 along a straight line `length_px` long, `angle_deg` counter-clockwise from horizontal.

    A sum of shifted photos, one for each pixel of the line: exact, and for these sparse kernels several times faster
    than `filter2D`, which from 11 x 11 on goes through a Fourier transform whose rounding depends on the machine.
    """
    weights = np.rint(motion_kernel(length_px, angle_deg) / WEIGHT_UNIT).astype(np.float32)
    reach_y, reach_x = weights.shape[0] // 2, weights.shape[1] // 2
    if weights.size == 1:
        return pixels
    height, width = pixels.shape[:2]
    padded = cv2.copyMakeBorder(pixels, reach_y, reach_y, reach_x, reach_x, cv2.BORDER_REFLECT_101)
    blurred = np.empty_like(pixels)
    rows = max(1, 32_768 // (3 * width))  # a band and its sum stay in the processor's cache
    for top in range(0, height, rows):
        band = padded[top : top + rows + 2 * reach_y].astype(np.float32)
        _sum_of_shifts(band, weights, blurred[top : top + rows])
    return blurred


def _sum_of_shifts(band: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], out: Pixels) -> None:
    total = np.zeros(out.shape, np.float32)
    product = np.empty_like(total)
    for y, x in np.argwhere(weights):
        np.multiply(band[y : y + out.shape[0], x : x + out.shape[1]], weights[y, x], out=product)
        total += product
    total *= np.float32(WEIGHT_UNIT)
    out[...] = np.rint(total, out=total)


def motion_kernel(length_px: float, angle_deg: float) -> npt.NDArray[np.float64]:
    """Return the kernel of a line through the centre: odd sides, sum exactly 1, weights multiples of `WEIGHT_UNIT`.

    Along its longer axis the line covers each pixel as far as it reaches into it, so even and fractional lengths stay
    centred; across, each weight is shared between the two nearest pixels.
    """
    dx, dy = math.cos(math.radians(angle_deg)), -math.sin(math.radians(angle_deg))
    if abs(dx) < abs(dy):
        return np.ascontiguousarray(_steep_line(length_px * abs(dy) / 2, dx / dy).T)
    return _steep_line(length_px * abs(dx) / 2, dy / dx)


def _steep_line(half_px: float, slope: float) -> npt.NDArray[np.float64]:
    """Return the kernel of a line that reaches `half_px` to the left and right, rising `slope` (-1 to 1) a pixel."""
    reach = max(0, math.ceil(half_px - 0.5))
    steps = np.arange(-reach, reach + 1)
    cover = np.clip(half_px - np.abs(steps) + 0.5, 0, 1)
    across = np.round(steps * slope, 9)
    low = np.floor(across).astype(int)
    reach_across = math.ceil(abs(reach * slope) - 1e-9)
    kernel = np.zeros((2 * reach_across + 2, steps.size))
    kernel[low + reach_across, steps + reach] = cover * (1 - (across - low))
    kernel[low + reach_across + 1, steps + reach] += cover * (across - low)
    return _in_units(kernel[:-1] / kernel[:-1].sum())


def _in_units(kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round weights down to whole units and give the units left over to the largest remainders."""
    units = np.round(kernel.ravel() / WEIGHT_UNIT, 6)
    whole = np.floor(units)
    n_left = round(1 / WEIGHT_UNIT - whole.sum())
    order = np.lexsort((np.arange(units.size), whole - units))
    whole[order[:n_left]] += 1
    return (whole * WEIGHT_UNIT).reshape(kernel.shape)


def downscale_and_back(pixels: Pixels, factor: float = 1.0, method: Resample = "area") -> Pixels:
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


def jpeg(pixels: Pixels, quality: int = 100) -> Pixels:
    """Store (H, W, 3) uint8 RGB as a baseline JPEG of `quality` 1 to 100 with 4:2:0 chroma, and read it back.

    The channels are swapped for OpenCV, which takes BGR. albumentations' ImageCompression hands RGB over as it is, so
    that its JPEG keeps the detail of blue where a real one keeps red's: not the artefacts of any real file.
    """
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"OpenCV could not store {pixels.shape[1]} x {pixels.shape[0]} pixels as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def gaussian_noise(pixels: Pixels, sigma: float, seed: int) -> Pixels:
    """Add independent Gaussian noise of standard deviation `sigma` (8-bit grey levels) to (H, W, 3) uint8, clipped.

    A larger sigma with the same seed moves every value the same way and at least as far.
    """
    steps = np.rint(_standard_quantiles() * sigma).astype(np.int16)
    noise = steps[_bits(seed, _GAUSSIAN, pixels.size)].reshape(pixels.shape)
    return np.asarray(cv2.add(pixels, noise, dtype=cv2.CV_8U))  # int16 inside, saturated to 0..255


def salt_pepper_noise(pixels: Pixels, amount: float, seed: int) -> Pixels:
    """Turn a share `amount` of the pixels of (H, W, 3) uint8 black or white, with equal odds.

    A larger amount with the same seed turns the same pixels and more.
    """
    bits = _bits(seed, _SALT_PEPPER, pixels.shape[0] * pixels.shape[1]).reshape(pixels.shape[:2])
    n_each = round(amount * 2**15)  # of the 2**16 values
    noisy = pixels.copy()
    noisy[bits < n_each] = 0
    noisy[bits >= 2**16 - n_each] = 255
    return noisy


def _bits(seed: int, stream: int, n: int) -> npt.NDArray[np.uint16]:
    """Return `n` numbers of 16 raw bits from PCG64, whose stream NumPy promises never to change.

    `standard_normal` has no such promise, and took 1.7 ms a photo of 262 x 262 where this takes 0.4 ms.
    """
    raw = np.random.PCG64([seed, stream]).random_raw(-(-n // 4))
    words = raw if sys.byteorder == "little" else raw.byteswap()
    return words.view(np.uint16)[:n]


@cache
def _standard_quantiles() -> npt.NDArray[np.float64]:
    """Return the 2**16 mid-point quantiles of the standard normal distribution; the last lies at 4.3 sigma."""
    normal = NormalDist()
    upper = [normal.inv_cdf((i + 0.5) / 2**16) for i in range(2**15, 2**16)]
    return np.array([-value for value in reversed(upper)] + upper)
