"""The steps inside and outside albumentations, and what they draw."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from jewelenh.degradation.draws import apply, sample
from jewelenh.degradation.transforms import STEPS, BlurStep, JpegStep, NoiseStep, steps_of

A = pytest.importorskip("albumentations")


def draws_of(level, n=400):
    steps = steps_of(level)
    return [sample(steps, 42, level.name, 0, f"{i}.jpg") for i in range(n)]


def test_the_steps_are_albumentations_transforms_in_the_order_of_the_study(level):
    steps = steps_of(level("study"))
    assert [step.name for step in steps] == ["blur", "downscale", "noise", "jpeg", "colour"]
    assert all(isinstance(step, A.ImageOnlyTransform) for step in steps)
    assert [step.p for step in steps] == [0.9, 0.9, 0.9, 0.9, 0.3]
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


def test_a_level_works_inside_compose_and_replays_with_albumentations_own_replay(everything_on, ring):
    composed = A.ReplayCompose(steps_of(everything_on))
    composed.set_random_seed(3)
    result = composed(image=ring(1))
    assert result["image"].shape == (96, 96, 3)
    assert not np.array_equal(result["image"], ring(1))
    again = A.ReplayCompose.replay(json.loads(json.dumps(result["replay"])), image=ring(1))
    assert np.array_equal(result["image"], again["image"])


def test_a_step_survives_albumentations_serialisation():
    step = NoiseStep(p=0.4, gaussian_sigma=(1, 2), kinds=("gaussian",))
    again = A.from_dict(A.to_dict(step))
    assert again.p == 0.4
    assert again.values == step.values


@pytest.mark.parametrize(
    "wrong", [{"quality": (70, 35)}, {"quality": (0, 50)}, {"quality": (30, 50), "p": 1.5}, {"qality": (30, 50)}]
)
def test_a_step_made_by_hand_is_checked_too(wrong):
    with pytest.raises(ValueError, match=r"qualit|qality|probability|p"):
        JpegStep(**wrong)


def test_draws_are_plain_json_within_their_ranges(everything_on):
    for draw in draws_of(everything_on):
        assert json.loads(json.dumps(draw)) == draw
        assert 0.6 <= draw["blur"]["gaussian_sigma_px"] <= 2.0
        assert 11 <= draw["blur"]["motion_length_px"] <= 17
        assert isinstance(draw["blur"]["motion_length_px"], int)
        assert 0 <= draw["blur"]["motion_angle_deg"] <= 180
        assert 12 <= draw["jpeg"]["quality"] <= 30
        assert 0.25 <= draw["downscale"]["factor"] <= 0.4
        assert 0 <= draw["noise"]["seed"] < 2**53


def test_both_ends_of_a_range_of_whole_numbers_are_drawn(everything_on):
    qualities = {draw["jpeg"]["quality"] for draw in draws_of(everything_on)}
    assert qualities == set(range(12, 31))


def test_steps_fire_as_often_as_they_should_and_kinds_have_equal_odds(level):
    study = level("study")
    draws = draws_of(study, 3000)
    for step in steps_of(study):
        share = np.mean([step.name in draw for draw in draws])
        assert share == pytest.approx(step.p, abs=4 * (step.p * (1 - step.p) / 3000) ** 0.5)
    blurs = [draw["blur"] for draw in draws if "blur" in draw]
    both = np.mean(["gaussian_sigma_px" in blur and "motion_length_px" in blur for blur in blurs])
    motion = np.mean(["gaussian_sigma_px" not in blur for blur in blurs])
    assert both == pytest.approx(1 / 3, abs=0.04)
    assert motion == pytest.approx(1 / 3, abs=0.04)


def test_probability_zero_never_fires_and_one_always(level):
    severe = level("severe")
    never = replace(severe, jpeg=replace(severe.jpeg, probability=0.0))
    always = replace(severe, jpeg=replace(severe.jpeg, probability=1.0))
    assert not any("jpeg" in draw for draw in draws_of(never))
    assert all("jpeg" in draw for draw in draws_of(always))


def test_other_values_for_one_step_leave_the_draws_of_the_others_alone(everything_on):
    """So a sweep over one range compares photos that differ in nothing else."""
    noisier = replace(everything_on, noise=replace(everything_on.noise, gaussian_sigma=(100, 120), kinds=("gaussian",)))
    blurless = replace(noisier, blur=replace(noisier.blur, probability=0.0))
    for draw, changed in zip(draws_of(everything_on, 50), draws_of(blurless, 50), strict=True):
        assert "blur" not in changed
        assert changed["noise"]["gaussian_sigma"] >= 100
        assert all(draw[name] == changed[name] for name in ("downscale", "jpeg", "colour"))


def test_seed_level_variant_and_photo_each_change_the_draw(everything_on):
    steps = steps_of(everything_on)
    draws = [
        sample(steps, *names) for names in [(1, "a", 0, "x"), (2, "a", 0, "x"), (1, "b", 0, "x"), (1, "a", 1, "x")]
    ]
    draws.append(sample(steps, 1, "a", 0, "y"))
    assert len({json.dumps(draw, sort_keys=True) for draw in draws}) == 5
    assert sample(steps, 1, "a", 0, "x") == draws[0]


def test_what_is_applied_is_the_steps_one_after_the_other(everything_on, ring):
    draw, pixels = draws_of(everything_on, 1)[0], ring(2)
    expected = pixels
    for step in STEPS:
        expected = step.do(expected, **draw[step.name])
    shuffled = dict(reversed(draw.items()))
    assert np.array_equal(apply(shuffled, pixels), expected)
    assert np.array_equal(pixels, ring(2))  # the photo itself is left as it was


def test_no_parameters_do_nothing(ring):
    for step in STEPS:
        if step is not JpegStep:  # even quality 100 is a JPEG
            assert np.array_equal(step.do(ring(1)), ring(1))
    assert BlurStep.do(ring(1)) is not None
