"""Noise against the distributions it claims to have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm

from jewelenh.degradation.operations import gaussian_noise, salt_pepper_noise

GREY = np.full((256, 256, 3), 128, np.uint8)


@pytest.mark.parametrize("sigma", [2.0, 11.0, 25.0])
def test_gaussian_noise_has_the_mean_the_sigma_and_the_shape(sigma):
    noise = gaussian_noise(GREY, sigma, seed=5).astype(float) - 128
    n = noise.size
    assert abs(noise.mean()) < 4 * sigma / n**0.5
    assert noise.std() == pytest.approx((sigma**2 + 1 / 12) ** 0.5, rel=4 / (2 * n) ** 0.5)  # 1/12: whole grey levels
    smooth = noise.ravel()[:20_000] + np.random.default_rng(0).uniform(-0.5, 0.5, 20_000)
    assert kstest(smooth, norm(0, (sigma**2 + 1 / 12) ** 0.5).cdf).pvalue > 1e-3


def test_channels_and_neighbours_are_independent():
    noise = gaussian_noise(GREY, 20.0, seed=1).astype(float) - 128
    for first, second in [
        (noise[..., 0], noise[..., 1]),
        (noise[..., 1], noise[..., 2]),
        (noise[:, :-1], noise[:, 1:]),
        (noise[:-1], noise[1:]),
    ]:
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02


def test_noise_is_clipped_and_never_wraps_around():
    for level in (0, 255):
        noisy = gaussian_noise(np.full((64, 64, 3), level, np.uint8), 30.0, seed=2)
        assert np.mean(noisy == level) == pytest.approx(0.5, abs=0.03)
        assert np.abs(noisy.astype(int) - level).max() < 30 * 5


def test_the_seed_alone_decides_and_more_sigma_moves_the_same_way():
    weak, strong = (gaussian_noise(GREY, sigma, seed=9).astype(int) - 128 for sigma in (5.0, 15.0))
    assert np.array_equal(weak + 128, gaussian_noise(GREY, 5.0, seed=9))
    assert not np.array_equal(weak + 128, gaussian_noise(GREY, 5.0, seed=10))
    assert np.all(np.abs(strong) >= np.abs(weak))
    assert np.all(strong * weak >= 0)


@pytest.mark.parametrize("amount", [0.01, 0.1, 0.5])
def test_salt_and_pepper_turn_their_share_of_whole_pixels(amount):
    noisy = salt_pepper_noise(GREY, amount, seed=3)
    n, spread = 256 * 256, 4 * (amount / 256**2) ** 0.5
    salt, pepper = np.all(noisy == 255, axis=2), np.all(noisy == 0, axis=2)
    assert np.array_equal(salt | pepper, np.any(noisy != 128, axis=2))
    assert salt.sum() / n == pytest.approx(amount / 2, abs=spread)
    assert pepper.sum() / n == pytest.approx(amount / 2, abs=spread)


def test_salt_and_pepper_from_nothing_to_all():
    assert np.array_equal(salt_pepper_noise(GREY, 0.0, seed=1), GREY)
    assert set(np.unique(salt_pepper_noise(GREY, 1.0, seed=1))) == {0, 255}
    few, many = (salt_pepper_noise(GREY, amount, seed=1) for amount in (0.05, 0.2))
    assert np.array_equal(few[few != 128], many[few != 128])


def test_the_stream_is_the_recorded_one():
    """The first numbers of PCG64([seed, stream]): should they change, every recorded draw would replay differently."""
    from jewelenh.degradation.operations import _bits

    assert _bits(123, 0, 6).tolist() == [59853, 1011, 40089, 44718, 27939, 38859]
