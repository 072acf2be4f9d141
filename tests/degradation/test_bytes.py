"""Every shipped level gives the pixels that it gave when its photos were first made, on every machine.

A difference means that draws of today no longer replay: raise `draws.ALGORITHM`, and say so in the changelog.
"""

from __future__ import annotations

import numpy as np
import pytest

from jewelenh.degradation.draws import apply, pixels_sha256, sample
from jewelenh.degradation.transforms import steps_of
from jewelenh.images import Pixels
from jewelenh.manifest import sha256_of

LEVELS = {
    "mild": "c024f3745138ece1",
    "moderate": "9b36d4ce9479fe33",
    "severe": "8bae7f5c6e3bc9aa",
    "study": "c2025e6c5452154b",
}
"""Name -> the beginning of the SHA-256 of the hashes of 24 degraded pictures."""


def plaid(height: int, width: int) -> Pixels:
    """Return a picture of whole numbers alone: gradients, edges and every colour."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 3 + y) % 256, (x * y) % 256, ((x // 9 + y // 7) % 2) * 200 + (x + y) % 56
    return np.stack(channels, axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", LEVELS)
def test_the_bytes_of_a_level(name, level):
    steps = steps_of(level(name))
    hashes = [
        pixels_sha256(apply(sample(steps, 42, name, variant, f"rings/{variant}.jpg"), plaid(90 + variant, 131)))
        for variant in range(24)
    ]
    assert sha256_of("".join(hashes).encode())[:16] == LEVELS[name]
