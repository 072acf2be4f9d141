"""PSNR and SSIM against scikit-image and hand values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jewelenh.degradation.similarity import psnr_db, ssim


@pytest.mark.parametrize("sigma", [1, 10, 60])
def test_both_are_scikit_images(ring, sigma):
    first = ring(4)
    noise = np.random.default_rng(0).normal(0, sigma, first.shape)
    second = np.clip(first + noise, 0, 255).astype(np.uint8)
    assert psnr_db(first, second) == pytest.approx(peak_signal_noise_ratio(first, second, data_range=255), abs=1e-9)
    expected = structural_similarity(
        first, second, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(first, second) == pytest.approx(expected, abs=1e-7)


def test_by_hand():
    black, ten = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 10, np.uint8)
    assert psnr_db(black, ten) == pytest.approx(10 * math.log10(255**2 / 100))
    assert ssim(black, ten) == pytest.approx(6.5025 / (100 + 6.5025))  # constant photos: the luminance term alone
    assert psnr_db(ten, ten) == math.inf
    assert ssim(ten, ten) == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 30, 3), (11, 11, 3)])
def test_photos_smaller_than_the_window_have_a_value(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert ssim(pixels, pixels) == pytest.approx(1)
    assert -1 <= ssim(pixels, 255 - pixels) < 1
