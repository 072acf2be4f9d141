"""The shipped levels and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from jewelenh.config import parse
from jewelenh.degradation.levels import Degradation
from jewelenh.errors import ConfigError
from jewelenh.job import CONF_DIR


def test_study_is_the_reference_row_exactly(level):
    study = level("study")
    assert study.blur.gaussian_sigma_px == (4.0, 7.0)
    assert study.blur.motion_length_px == (5, 10)
    assert study.blur.motion_angle_deg == (0, 180)
    assert study.blur.kinds == ("gaussian", "motion", "both")
    assert study.blur.probability == 0.9
    assert study.downscale.factor == (0.9, 0.9)
    assert study.downscale.methods == ("nearest", "bilinear", "bicubic", "lanczos")
    assert study.downscale.probability == 0.9
    assert study.noise.gaussian_sigma == (11, 25)
    assert study.noise.salt_pepper_amount == (0, 0)
    assert study.noise.kinds == ("gaussian", "salt_pepper", "both")
    assert study.noise.probability == 0.9
    assert study.jpeg.quality == (35, 70)
    assert study.jpeg.probability == 0.9
    assert study.colour.temperature == (-8, 8)
    assert study.colour.saturation == (-6, 6)
    assert study.colour.probability == 0.3


@pytest.mark.parametrize("file", sorted((CONF_DIR / "degradation").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_level_says_all_its_values_and_is_named_like_its_file(file: Path):
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert values["name"] == file.stem
    if "undegraded" in values:  # several levels at once, which conf/degradation composes
        return
    assert parse(Degradation, values, "degradation").variants == 1
    assert set(values) == {"name", "blur", "downscale", "noise", "jpeg", "colour", "variants"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("noise.gaussian_sigma", [20, 10], "degradation.noise.gaussian_sigma = [20, 10]: allowed is a range"),
        ("noise.gaussian_sigma", [-1, 10], "inside [0, 255]"),
        ("noise.gaussian_sigma", [float("nan"), 10], "degradation.noise.gaussian_sigma"),
        ("blur.gaussian_sigma_px", [-0.5, 1], "inside [0, 50]"),
        ("blur.gaussian_sigma_px", 3, "degradation.blur.gaussian_sigma_px = 3"),
        ("blur.motion_length_px", [0, 5], "inside [1, 99]"),
        ("blur.motion_length_px", [5, 101], "inside [1, 99]"),
        ("blur.motion_length_px", [2.5, 5], "degradation.blur.motion_length_px"),
        ("blur.motion_angle_deg", [0, 360], "inside [0, 180]"),
        ("blur.kinds", [], "degradation.blur.kinds"),
        ("blur.kinds", ["gausian"], "Did you mean gaussian?"),
        ("downscale.factor", [0, 0.5], "inside [0.01, 1]"),
        ("downscale.factor", [0.5, 1.5], "inside [0.01, 1]"),
        ("downscale.methods", ["cubic"], "Did you mean bicubic?"),
        ("noise.salt_pepper_amount", [0, 1.2], "inside [0, 1]"),
        ("jpeg.quality", [0, 50], "inside [1, 100]"),
        ("jpeg.quality", [50, 101], "inside [1, 100]"),
        ("jpeg.probability", 1.01, "degradation.jpeg.probability = 1.01: allowed is a number from 0 to 1"),
        ("colour.probability", -0.1, "a number from 0 to 1"),
        ("colour.probability", float("nan"), "a number from 0 to 1"),
        ("colour.temperature", [-300, 0], "inside [-127, 127]"),
        ("variants", 0, "degradation.variants = 0"),
        ("name", "a b", "degradation.name"),
        ("noise.sigma", [1, 2], "degradation.noise.sigma: there is no such key. Did you mean gaussian_sigma?"),
    ],
)
def test_impossible_values_are_refused_by_name(key, value, said):
    values = yaml.safe_load((CONF_DIR / "degradation" / "mild.yaml").read_text(encoding="utf-8"))
    *path, last = key.split(".")
    group = values[path[0]] if path else values
    group[last] = value
    with pytest.raises(ConfigError) as error:
        parse(Degradation, values, "degradation")
    assert said in str(error.value)


@pytest.mark.parametrize("length", [1, 2, 3, 98, 99])
def test_even_and_odd_motion_lengths_are_both_right(length, level):
    """A length is no kernel size: an even line has half pixels at its ends."""
    values = yaml.safe_load((CONF_DIR / "degradation" / "mild.yaml").read_text(encoding="utf-8"))
    values["blur"]["motion_length_px"] = [length, length]
    assert parse(Degradation, values, "degradation").blur.motion_length_px == (length, length)
