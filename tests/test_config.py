"""Typed configuration: every wrong key or value is named, with what is allowed and the nearest name."""

import pytest

from jewelenh.config import Hardware, Pairs, Shard, Source, parse
from jewelenh.degradation.levels import Degradation
from jewelenh.errors import ConfigError

LEVEL = {
    "name": "own",
    "blur": {"probability": 0.5, "gaussian_sigma_px": [1, 2], "motion_length_px": [3, 5]},
    "downscale": {"probability": 0.5, "factor": [0.5, 1.0]},
    "noise": {"probability": 0.5, "gaussian_sigma": [1, 2]},
    "jpeg": {"probability": 0.5, "quality": [30, 60]},
    "colour": {"probability": 0.5, "temperature": [-3, 3], "saturation": [-3, 3]},
}


def test_a_level_is_parsed_to_values():
    level = parse(Degradation, LEVEL, "degradation")
    assert level.blur.gaussian_sigma_px == (1.0, 2.0)
    assert level.variants == 1


@pytest.mark.parametrize(
    ("group", "key", "value", "words"),
    [
        ("blur", "probability", 1.4, ["degradation.blur.probability = 1.4", "from 0 to 1"]),
        ("blur", "gaussian_sigma_px", [4, 2], ["degradation.blur.gaussian_sigma_px", "low <= high", "[2, 4]"]),
        ("blur", "gaussian_sigma_px", [-1, 2], ["inside [0, 50]"]),
        ("blur", "motion_length_px", [0, 3], ["inside [1, 99]"]),
        ("jpeg", "quality", [1, 101], ["degradation.jpeg.quality", "inside [1, 100]"]),
        ("noise", "gausian_sigma", [1, 2], ["no such key", "Did you mean gaussian_sigma?"]),
        ("downscale", "methods", ["lancos"], ["Did you mean lanczos?"]),
        ("colour", "temperature", ["warm", 2], ["degradation.colour.temperature.0 = 'warm'", "number"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(group, key, value, words):
    values = {**LEVEL, group: {**LEVEL[group], key: value}}
    with pytest.raises(ConfigError) as caught:
        parse(Degradation, values, "degradation")
    for word in words:
        assert word in str(caught.value)


def test_all_problems_are_reported_together():
    values = {**LEVEL, "blur": {**LEVEL["blur"], "probability": 2}, "jpeg": {"probability": -1, "quality": [1, 2]}}
    with pytest.raises(ConfigError) as caught:
        parse(Degradation, values, "degradation")
    assert "blur.probability = 2" in str(caught.value)
    assert "jpeg.probability = -1" in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "values", "word"),
    [
        (Source, {"kind": "folder"}, "source.root"),
        (Source, {"kind": "foldr"}, "Did you mean folder?"),
        (Source, {"kind": "sample", "limit": 0}, "greater than or equal to 1"),
        (Pairs, {"split": {"train": 0.5}}, "train + val + test = 1"),
        (Shard, {"index": 2, "count": 2}, "index below count"),
        (Hardware, {"precision": "fp8"}, "'fp32'"),
    ],
)
def test_relations_and_choices_are_checked(schema, values, word):
    with pytest.raises(ConfigError) as caught:
        parse(schema, values, "group")
    assert word in str(caught.value)
