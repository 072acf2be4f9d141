"""Colour shifts against scikit-image's CIELAB and Python's own HSV."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from jewelenh.degradation.colour import shift_saturation, shift_temperature

GREYS = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
@pytest.mark.parametrize("temperature", [-60.0, -8.0, -0.7, 3.3, 8.0, 60.0])
def test_temperature_is_a_shift_of_cielab_b(pixels, temperature):
    lab = rgb2lab(pixels / 255)
    lab[..., 2] += temperature
    has_z = (lab[..., 0] + 16) / 116 - lab[..., 2] / 200 > 16 / 116  # elsewhere no light has this colour
    expected = np.clip(lab2rgb(lab) * 255, 0, 255)
    difference = np.abs(shift_temperature(pixels, temperature) - expected)[has_z]
    assert has_z.mean() > 0.7
    assert difference.max() < 0.7  # 0.5 is rounding


def test_warmer_is_more_yellow_and_less_blue():
    grey = np.full((1, 1, 3), 128, np.uint8)
    red, green, blue = shift_temperature(grey, 20.0)[0, 0].astype(int)
    assert red > green > blue
    red, green, blue = shift_temperature(grey, -20.0)[0, 0].astype(int)
    assert red < green < blue


@pytest.mark.parametrize("saturation", [-255.0, -60.0, -6.0, 4.5, 40.0, 255.0])
def test_saturation_is_a_shift_of_hsv_saturation(pixels, saturation):
    shifted = shift_saturation(pixels, saturation)
    for before, after in zip(pixels.reshape(-1, 3)[:500], shifted.reshape(-1, 3), strict=False):
        hue, sat, value = colorsys.rgb_to_hsv(*(int(v) / 255 for v in before))
        wanted = min(max(sat + min(saturation / 255, sat), 0), 1)
        expected = np.array(colorsys.hsv_to_rgb(hue, wanted, value)) * 255
        assert np.abs(after - expected).max() <= 0.51


@pytest.mark.parametrize("saturation", [-255.0, -10.0, 10.0, 255.0])
def test_saturation_keeps_every_neutral_grey(saturation):
    assert np.array_equal(shift_saturation(GREYS, saturation), GREYS)


@pytest.mark.parametrize("shift", [shift_temperature, shift_saturation])
def test_a_shift_of_zero_is_the_photo_itself(pixels, shift):
    assert np.array_equal(shift(pixels, 0.0), pixels)
    assert np.abs(shift(pixels, 1e-4).astype(int) - pixels).max() <= 1  # and near zero near it: no 8-bit round trip


@pytest.mark.parametrize("shift", [shift_temperature, shift_saturation])
def test_nothing_wraps_around(shift):
    """The order of bright and dark stays: with 8-bit wrap-around some brighter grey or colour comes out darker."""
    ramp = GREYS.copy()
    ramp[..., 1] = ramp[..., 1] // 2
    for strength in (-127.0, -40.0, 40.0, 127.0):
        for channel in range(3):
            rows = shift(ramp if shift is shift_saturation else GREYS, strength)[0, :, channel].astype(int)
            assert np.diff(rows).min() >= -1


def test_bands_of_rows_change_nothing():
    tall = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    for shift in (shift_temperature, shift_saturation):
        halves = [shift(np.ascontiguousarray(half), 9.0) for half in (tall[:137], tall[137:])]
        assert np.array_equal(shift(tall, 9.0), np.concatenate(halves))
