"""Traits against hand values; statistics of drawn pairs; what is unlike them is said, what is like them is not."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from jewelenh.config import Pairs, Source, Split
from jewelenh.images import Photo, encode_png
from jewelenh.pairs.writer import write_pairs
from jewelenh.refinement import input_statistics
from jewelenh.refinement.input_statistics import TRAITS, describe_training, measure, out_of_range
from jewelenh.sources import fetch

WHITE, GREY = 255, 128


def flat(*colour: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


def photo(number: int, side: int = 80) -> np.ndarray:
    """A ring on a nearly white ground, with the small differences that photos of one shop have."""
    rng = np.random.default_rng(number)
    ground = float(rng.uniform(238, 250))
    image = np.full((side, side, 3), ground) + rng.normal(0, 1.0, (side, side, 3))
    colour = [(212, 175, 55), (192, 192, 200)][number % 2]
    centre = (side // 2, side // 2 + int(rng.integers(-3, 4)))
    cv2.ellipse(image, centre, (side // 3, side // 4), float(rng.uniform(0, 180)), 0, 360, colour, 5, cv2.LINE_AA)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def pairs_dir(tmp_path):
    """Pairs of 24 photos with themselves, in whatever dtype."""

    def make(dtype: str = "uint8"):
        root = tmp_path / "photos"
        root.mkdir(exist_ok=True)
        for number in range(24):
            (root / f"{number:02d}.png").write_bytes(encode_png(Photo(photo(number))))
        raw = fetch(Source(kind="folder", root=root), 42, tmp_path / "data")
        settings = Pairs(size=64, dtype=dtype, split=Split(train=0.8, val=0.1, test=0.1, near_duplicate_bits=None))
        return write_pairs(raw, {"mild": raw}, raw, "mild", settings, 42, tmp_path / "data").directory

    return make


def test_traits_of_flat_pictures():
    white, grey, red = (measure(flat(*colour), 64) for colour in ((255, 255, 255), (119, 119, 119), (200, 90, 90)))
    assert white["lightness"] == pytest.approx(100, abs=0.3) and white["background"] == pytest.approx(100, abs=0.3)
    assert grey["lightness"] == pytest.approx(50, abs=0.5)  # sRGB 119 is L* 50
    for name in ("contrast", "noise", "sharpness", "background_texture"):
        assert max(white[name], grey[name]) < 1e-3, name
    assert abs(grey["red_green"]) < 0.6 and abs(grey["yellow_blue"]) < 0.6
    assert red["red_green"] > 35 and measure(flat(90, 90, 200), 64)["yellow_blue"] < -40


def test_the_noise_is_the_one_that_was_added():
    noisy = (GREY + np.random.default_rng(0).normal(0, 8, (256, 256))).round().clip(0, 255).astype(np.uint8)
    measured = measure(np.repeat(noisy[..., None], 3, axis=2), 256)["noise"]
    assert measured == pytest.approx(8, rel=0.05)


def test_the_background_is_the_border_and_a_blurred_picture_is_less_sharp():
    image = flat(255, 255, 255)
    image[16:48, 16:48] = 0
    values = measure(image, 64)
    assert values["background"] == pytest.approx(100, abs=0.3) and values["lightness"] == pytest.approx(75, abs=1)
    assert values["contrast"] == pytest.approx(100 * (0.25 * 0.75) ** 0.5, abs=1)  # a quarter at 0, the rest at 100
    assert measure(cv2.GaussianBlur(image, (0, 0), 2), 64)["sharpness"] < values["sharpness"] / 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 2), (700, 300)])
def test_any_shape_and_depth_can_be_measured(shape):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65535, (*shape, 3), dtype=np.uint16, endpoint=True)
    for size in (64, None):
        assert measure(deep, size).keys() == TRAITS.keys()
        assert all(np.isfinite(value) for value in measure(deep, size).values())


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_statistics_are_plain_numbers_and_the_same_whatever_the_dtype(pairs_dir, dtype):
    about = describe_training(pairs_dir(dtype))
    assert about is not None and json.loads(json.dumps(about)) == about
    assert about["size"] == 64 and about["n_pictures"] >= 17
    ranges = about["traits"]["lightness"]
    assert 80 < ranges["low"] < ranges["median"] < ranges["high"] < 99


def test_photos_of_the_same_kind_pass_and_others_are_named(pairs_dir):
    about = describe_training(pairs_dir())
    assert about is not None
    strange = [number for number in range(100, 140) if out_of_range(photo(number), about)]
    assert len(strange) <= 2, "at most one in twenty of the same kind"
    usual = photo(200)
    red = (usual * [1.0, 0.75, 0.75]).astype(np.uint8)
    cases = {
        "redder": red,
        "bluer": (usual * [0.7, 0.75, 1.0]).astype(np.uint8),
        "darker": (usual * 0.4).astype(np.uint8),
        "on a darker background": 255 - usual,
        "noisier": (usual + np.random.default_rng(0).normal(0, 20, usual.shape)).clip(0, 255).astype(np.uint8),
        "blurrier": cv2.GaussianBlur(usual, (0, 0), 4),
        "on a busier background": np.where(np.indices((80, 80)).sum(axis=0)[..., None] // 8 % 2, usual, 90).astype(
            np.uint8
        ),
    }
    for words, pixels in cases.items():
        assert words in [trait.words for trait in out_of_range(pixels, about)], words
    first, *rest = out_of_range(red, about)
    assert first.value > first.high and all(first.distance >= other.distance for other in rest)


def test_the_names_of_older_checkpoints_are_known(pairs_dir):
    about = json.loads(json.dumps(describe_training(pairs_dir())))
    about["traits"]["unrest"] = about["traits"].pop("background_texture")
    rough = np.where(np.indices((80, 80)).sum(axis=0)[..., None] // 8 % 2, photo(200), 90).astype(np.uint8)
    assert "on a busier background" in [trait.words for trait in out_of_range(rough, about)]


def test_pairs_that_are_gone_cost_no_checkpoint(tmp_path, caplog):
    assert describe_training(tmp_path / "nowhere") is None
    assert "does not say what its training pictures look like" in caplog.text


def test_a_training_measures_its_pictures_once(pairs_dir, monkeypatch):
    directory = pairs_dir()
    first = describe_training(directory)
    monkeypatch.setattr(input_statistics, "measure", None)
    assert describe_training(directory) == first
