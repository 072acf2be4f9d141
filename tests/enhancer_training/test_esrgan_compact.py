"""The embedded enhancer: small, known by its name, better than bicubic, and kind to white and to colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jewelenh.config import Enhancer
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancement.weights import REGISTRY
from jewelenh.enhancer_training.data import centre, smaller
from jewelenh.enhancer_training.recipe import enlarged
from jewelenh.images import Photo, Pixels, read_photo
from jewelenh.sources import SAMPLE_DIR


@pytest.fixture(scope="module")
def compact() -> Upscaler:
    return Upscaler.load(Enhancer(name="compact"))


def psnr_db(made: Pixels, true: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((made.astype(float) - true) ** 2)))


def test_it_is_small(compact):
    embedded = REGISTRY["compact"]
    assert isinstance(embedded, Path) and embedded.stat().st_size <= 1_200_000
    assert compact.scale == 4
    assert sum(p.numel() for p in compact.network.module.parameters()) <= 300_000


def test_it_beats_bicubic_on_the_sample_made_small(compact):
    """The sample's scenes are drawn apart from the training renders, and at a quarter of their size."""
    files = sorted(SAMPLE_DIR.rglob("*.jpg"))[::12]
    gains = []
    for file in files:
        high = centre(read_photo(file).as_uint8().pixels, None, 4)
        low = smaller(high, 4, "area")
        made = compact.upscale(Photo(low)).pixels
        gains.append(psnr_db(made, high) - psnr_db(enlarged(low, high), high))
    assert len(gains) >= 4 and np.mean(gains) > 0.8, gains


def test_white_stays_white_and_colours_stay(compact):
    for colour in ((255, 255, 255), (250, 250, 250), (212, 175, 55), (20, 20, 24)):
        plain = np.full((40, 40, 3), colour, np.uint8)
        made = compact.upscale(Photo(plain)).pixels[16:-16, 16:-16]
        assert np.abs(made.astype(int) - colour).max() <= 2, colour
    photo = read_photo(min(SAMPLE_DIR.rglob("*.jpg"))).as_uint8()
    made = compact.upscale(photo).pixels
    assert np.abs(made.mean((0, 1)) - photo.pixels.mean((0, 1))).max() < 0.5
