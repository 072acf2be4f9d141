from __future__ import annotations

import itertools

import numpy as np
import pytest
from esrgan_parts import drawn
from hypothesis import given
from hypothesis import strategies as st

from jewelenh.enhancement.tiling import Canvas, Overlap, Plan, overlap_for, tile_starts


@given(st.integers(1, 400), st.integers(8, 120), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 2, 4]))
def test_tiles_cover_everything_with_enough_overlap(length, tile, margin, ramp, multiple):
    overlap = Overlap(margin, ramp)
    length, tile = -(-length // multiple) * multiple, -(-tile // multiple) * multiple
    if tile < length and (tile - overlap.shared) // multiple < 1:
        with pytest.raises(ValueError, match="all overlap"):
            tile_starts(length, tile, overlap, multiple)
        return
    starts = tile_starts(length, tile, overlap, multiple)
    assert starts[0] == 0
    assert starts[-1] + tile >= length
    assert all(start % multiple == 0 for start in starts)
    assert all(before + tile - after >= overlap.shared for before, after in itertools.pairwise(starts))


@pytest.mark.parametrize("size", [(37, 53), (64, 64), (101, 30), (20, 97)])
@pytest.mark.parametrize("overlap", [Overlap(3, 0), Overlap(2, 5)])
def test_equal_tiles_give_the_picture_back(size, overlap):
    """Every tile holds the true picture, so whatever is kept or faded, the canvas must be the picture."""
    picture = drawn(*size)
    plan = Plan(*size, 24, overlap)
    canvas = Canvas(plan, 2, picture.dtype)
    for tile in plan.cut(picture):
        canvas.paste(tile.repeat(2, axis=0).repeat(2, axis=1))
    assert np.array_equal(canvas.pixels, picture.repeat(2, axis=0).repeat(2, axis=1))


def test_the_margin_never_shows():
    """Tiles come back with a spoilt rim, as zero padding spoils it; the inside of the canvas must not have it."""
    plan = Plan(90, 77, 32, Overlap(5, 6))
    canvas = Canvas(plan, 1, np.dtype(np.uint8))
    for _ in range(len(plan)):
        tile = np.full((32, 32, 3), 200, np.uint8)
        tile[5:-5, 5:-5] = 100
        canvas.paste(tile)
    assert (canvas.pixels[5:-5, 5:-5] == 100).all()


def test_a_ramp_goes_evenly_from_one_tile_to_the_next():
    plan = Plan(10, 30, 20, Overlap(1, 8))
    canvas = Canvas(plan, 1, np.dtype(np.uint8))
    for value in (0, 160):
        canvas.paste(np.full((10, 20, 3), value, np.uint8))
    row = canvas.pixels[5, :, 0].astype(int)
    assert row[10:20].tolist() == [0, 10, 30, 50, 70, 90, 110, 130, 150, 160]


def test_a_known_radius_needs_no_ramp():
    assert overlap_for(34) == Overlap(34, 0)
    assert overlap_for(None).ramp > 0
