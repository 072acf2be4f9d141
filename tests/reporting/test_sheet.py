"""The contact sheet: pictures in their places, names in one line."""

import numpy as np

from jewelenh.images import Photo
from jewelenh.reporting.sheet import Picture, fitted, font, on_white, sheet


def test_pictures_are_brought_to_one_size_and_stand_in_their_columns():
    red, wide = np.zeros((32, 32, 3), np.uint8), np.full((20, 80, 3), 100, np.uint8)
    red[..., 0] = 200
    page = np.asarray(
        sheet(["left", "right"], [[Picture(red, ("one",)), Picture(None)], [Picture(wide), Picture(red)]], 64)
    )
    assert page.shape[1] == 10 + 2 * (64 + 10)
    assert tuple(page[62, 42]) == (200, 0, 0), "enlarged to its place"
    assert (page[40:90, 90:] == 255).all(), "no picture, an empty place"
    assert (page == 100).all(axis=2).sum() == 64 * 16, "a wide one keeps its shape"


def test_small_pictures_stay_as_they_are_where_that_is_asked():
    small = np.random.default_rng(0).integers(0, 200, (16, 24, 3), dtype=np.uint8)
    page = np.asarray(sheet(["a"], [[Picture(small)]], 64, title="A title", enlarge=False))
    found = [
        np.array_equal(page[y : y + 16, x : x + 24], small)
        for y, x in np.argwhere((page == small[0, 0]).all(axis=2))
    ]  # fmt: skip
    assert any(found)


def test_what_is_transparent_is_white():
    photo = Photo(np.zeros((2, 2, 3), np.uint8), np.array([[0, 255], [128, 255]], np.uint8))
    assert on_white(photo)[..., 0].tolist() == [[255, 0], [127, 0]]


def test_long_and_strange_names_fit_in_one_line():
    bold = font(15, bold=True)
    shown = fitted("necklaces/" + "long " * 40 + "\n\x07end.jpg", bold, 200)
    assert shown.startswith("…") and shown.endswith("end.jpg")
    assert bold.getlength(shown) <= 200
