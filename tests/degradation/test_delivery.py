"""Resampling against PyTorch and a written-out Lanczos sum, JPEG against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from jewelenh.degradation.operations import downscale_and_back, jpeg


@pytest.fixture
def pixels() -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (67, 93, 3), dtype=np.uint8)
    pixels[:40] = np.arange(93)[None, :, None] * 2
    return pixels


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [0.25, 0.5, 0.7, 0.9])
def test_bilinear_and_bicubic_are_pytorchs(pixels, method, factor):
    import torch
    from torch.nn.functional import interpolate

    values = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    small_px = (int(67 * factor + 0.5), int(93 * factor + 0.5))
    small = interpolate(values, small_px, mode=method, align_corners=False).clamp(0, 255).round()
    expected = interpolate(small, (67, 93), mode=method, align_corners=False).clamp(0, 255)[0].permute(1, 2, 0)
    assert np.abs(downscale_and_back(pixels, factor, method) - expected.numpy()).max() < 2


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.7, 0.9])
def test_nearest_is_pillows(pixels, factor):
    small = Image.fromarray(pixels).resize((int(93 * factor + 0.5), int(67 * factor + 0.5)), Image.Resampling.NEAREST)
    expected = np.asarray(small.resize((93, 67), Image.Resampling.NEAREST))
    assert np.array_equal(downscale_and_back(pixels, factor, "nearest"), expected)


def test_area_takes_the_mean_of_blocks(pixels):
    """A photo of constant 2 x 2 blocks in constant 8 x 8 areas keeps the centres of these areas."""
    blocks = np.kron(np.array([[10, 200], [90, 40]], np.uint8), np.ones((8, 8), np.uint8))
    striped = np.stack([blocks] * 3, axis=-1)
    striped[::2] += 8  # every 2 x 2 block now averages to 4 more
    result = downscale_and_back(striped, 0.5, "area")
    assert result[3, 3, 0] == 14
    assert result[3, 12, 0] == 204
    assert result[12, 3, 0] == 94


def test_lanczos_is_the_windowed_sinc():
    """Doubling a row: 8 taps of sinc(x) sinc(x / 4), normalised (what OpenCV's INTER_LANCZOS4 documents)."""
    row = np.random.default_rng(5).integers(60, 190, 64).astype(np.uint8)
    picture = np.repeat(np.repeat(row[None, :, None], 8, axis=0), 3, axis=2)
    small = np.ascontiguousarray(picture[:, ::2])
    from jewelenh.images import resize

    doubled = resize(small, 8, 64, "lanczos")[4, :, 0]
    for x in range(16, 48):
        centre = (x + 0.5) / 2 - 0.5
        taps = np.arange(int(np.floor(centre)) - 3, int(np.floor(centre)) + 5)
        weights = np.sinc(centre - taps) * np.sinc((centre - taps) / 4)
        expected = np.clip((weights / weights.sum() * small[4, taps, 0]).sum(), 0, 255)
        assert abs(float(doubled[x]) - expected) <= 1.5


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos", "area"])
def test_factor_one_is_the_photo_itself_and_one_pixel_survives_any_factor(pixels, method):
    assert np.array_equal(downscale_and_back(pixels, 1.0, method), pixels)
    dot = np.array([[[7, 80, 250]]], np.uint8)
    assert np.array_equal(downscale_and_back(dot, 0.01, method), dot)
    assert downscale_and_back(pixels, 0.01, method).shape == pixels.shape


@pytest.mark.parametrize("quality", [1, 10, 35, 50, 75, 90, 100])
def test_jpeg_is_pillows(pixels, quality):
    """Another program over the same standard: same tables for a quality, RGB order, 4:2:0 chroma."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(file).convert("RGB")).astype(int)
    assert np.abs(jpeg(pixels, quality) - expected).max() <= 1


def test_jpeg_keeps_greys_grey():
    grey = np.repeat(np.random.default_rng(1).integers(0, 256, (40, 40, 1), dtype=np.uint8), 3, axis=2)
    stored = jpeg(grey, 30)
    assert np.array_equal(stored[..., 0], stored[..., 1])
    assert np.array_equal(stored[..., 0], stored[..., 2])


def test_no_library_switch_is_left_changed(pixels):
    import cv2

    before = cv2.ipp.useIPP()
    downscale_and_back(pixels, 0.5, "bicubic")
    assert cv2.ipp.useIPP() == before
