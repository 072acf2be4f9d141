"""How far a degraded photo is from its raw one: PSNR and SSIM of 8-bit RGB, for the preview and the ranking."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from jewelenh.images import Pixels

_WINDOW_RADIUS_PX, _WINDOW_SIGMA_PX = 5, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr_db(first: Pixels, second: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all channels of two (H, W, 3) uint8, in dB, peak 255; inf if equal."""
    error = float(np.mean((first.astype(np.float64) - second) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(first: Pixels, second: Pixels) -> float:
    """Return the mean structural similarity of two (H, W, 3) uint8, the mean of the channels' (Wang et al. 2004).

    11 x 11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, population covariance, windows inside the photo only (all of
    them where it is smaller than a window): scikit-image with `gaussian_weights=True, use_sample_covariance=False`.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _windowed(a), _windowed(b)
    variances = _windowed(a * a) - mean_a**2 + _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return float(np.mean(_inside(luminance * (2 * covariance + _C2) / (variances + _C2))))


def _windowed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    side = 2 * _WINDOW_RADIUS_PX + 1
    blurred = cv2.GaussianBlur(values, (side, side), _WINDOW_SIGMA_PX, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float64)


def _inside(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    r = _WINDOW_RADIUS_PX
    return values[r:-r, r:-r] if min(values.shape[:2]) > 2 * r else values
