"""Gaussian and motion blur against SciPy, closed forms and hand values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter

from jewelenh.degradation.operations import WEIGHT_UNIT, gaussian_blur, motion_blur, motion_kernel


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (61, 45, 3), dtype=np.uint8)


@pytest.mark.parametrize("sigma_px", [0.5, 0.8, 1.3, 3.0, 7.0])
def test_gaussian_blur_is_scipys_gaussian_filter(pixels, sigma_px):
    expected = gaussian_filter(pixels.astype(float), (sigma_px, sigma_px, 0), mode="mirror", truncate=6)
    difference = np.abs(gaussian_blur(pixels, sigma_px) - expected)
    assert difference.max() < 2  # fixed-point weights cut at 3 sigma
    assert difference.mean() < 0.4  # 0.25 is what rounding to 8 bits takes


def test_gaussian_blur_of_an_edge_is_the_error_function():
    """A step from 0 to 255 blurred by sigma is 255 * Phi(distance / sigma)."""
    from scipy.stats import norm

    edge = np.zeros((9, 80, 3), np.uint8)
    edge[:, 40:] = 255
    expected = 255 * norm.cdf((np.arange(80) - 39.5) / 4.0)
    assert np.abs(gaussian_blur(edge, 4.0)[4, :, 0] - expected).max() < 2


def test_blur_of_strength_zero_is_the_photo_itself(pixels):
    assert np.array_equal(gaussian_blur(pixels, 0.0), pixels)
    assert np.array_equal(motion_blur(pixels, 1, 77.0), pixels)


@pytest.mark.parametrize(
    ("length_px", "angle_deg", "expected"),
    [
        (3, 0, [[1 / 3, 1 / 3, 1 / 3]]),
        (4, 0, [[1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8]]),  # an even length stays centred: half pixels at its ends
        (3, 90, [[1 / 3], [1 / 3], [1 / 3]]),
        (3, 180, [[1 / 3, 1 / 3, 1 / 3]]),
        (1, 45, [[1]]),
    ],
)
def test_motion_kernel_by_hand(length_px, angle_deg, expected):
    kernel = motion_kernel(length_px, angle_deg)
    assert kernel.shape == np.shape(expected)
    assert np.abs(kernel - expected).max() <= WEIGHT_UNIT


def test_angles_count_counter_clockwise():
    kernel = motion_kernel(9, 45)
    assert kernel[0, -1] > 0  # top right
    assert kernel[-1, 0] > 0
    assert kernel[0, 0] == kernel[-1, -1] == 0


@pytest.mark.parametrize("length_px", [2, 5, 10, 17, 40, 99])
@pytest.mark.parametrize("angle_deg", [0.0, 13.0, 45.0, 60.0, 90.0, 135.0, 171.3])
def test_motion_kernel_has_the_length_the_angle_and_no_shift(length_px, angle_deg):
    """A uniform line of length L has the second moment L^2 / 12 along itself and none across."""
    kernel = motion_kernel(length_px, angle_deg)
    assert kernel.sum() == 1
    assert np.array_equal(kernel / WEIGHT_UNIT, np.rint(kernel / WEIGHT_UNIT))
    y, x = (np.indices(kernel.shape).T - (np.array(kernel.shape) - 1) / 2).T
    along = x * np.cos(np.radians(angle_deg)) - y * np.sin(np.radians(angle_deg))
    across = x * np.sin(np.radians(angle_deg)) + y * np.cos(np.radians(angle_deg))
    assert abs((kernel * along).sum()) < 0.02 * length_px
    assert abs((kernel * across).sum()) < 0.05
    assert (kernel * along**2).sum() == pytest.approx(length_px**2 / 12, rel=0.06, abs=0.3)
    assert (kernel * across**2).sum() < 0.3


@pytest.mark.parametrize(("length_px", "angle_deg"), [(3, 0.0), (6, 90.0), (7, 33.0), (20, 120.0), (99, 10.0)])
def test_motion_blur_is_scipys_correlation_rounded(pixels, length_px, angle_deg):
    kernel = motion_kernel(length_px, angle_deg)
    blurred = motion_blur(pixels, length_px, angle_deg)
    for i in range(3):
        expected = correlate(pixels[..., i].astype(float), kernel, mode="mirror")
        assert np.abs(blurred[..., i] - expected).max() <= 0.5


def test_bands_leave_no_seam():
    """A photo wider than a band of rows is blurred as if in one piece."""
    wide = np.random.default_rng(0).integers(0, 256, (40, 3000, 3), dtype=np.uint8)
    whole = motion_blur(wide, 12, 70.0)
    assert np.array_equal(whole[:, 500:900], motion_blur(np.ascontiguousarray(wide[:, 480:920]), 12, 70.0)[:, 20:-20])
