"""Properties that hold for every photo and every draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jewelenh.degradation.colour import shift_saturation, shift_temperature
from jewelenh.degradation.draws import apply, pixels_sha256, sample
from jewelenh.degradation.operations import (
    downscale_and_back,
    gaussian_blur,
    gaussian_noise,
    jpeg,
    motion_blur,
    salt_pepper_noise,
)
from jewelenh.degradation.transforms import steps_of
from jewelenh.metrics import METRICS

sides = st.integers(1, 40)
METHODS = ("nearest", "bilinear", "bicubic", "lanczos", "area")
photos = st.tuples(sides, sides, st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(0, 256, (*drawn[:2], 3), dtype=np.uint8)
)
draws = st.fixed_dictionaries(
    {},
    optional={
        "blur": st.fixed_dictionaries(
            {},
            optional={
                "gaussian_sigma_px": st.floats(0, 50),
                "motion_length_px": st.integers(1, 99),
                "motion_angle_deg": st.floats(0, 180),
            },
        ),
        "downscale": st.fixed_dictionaries({"factor": st.floats(0.01, 1), "method": st.sampled_from(METHODS)}),
        "noise": st.fixed_dictionaries(
            {
                "gaussian_sigma": st.floats(0, 255),
                "salt_pepper_amount": st.floats(0, 1),
                "seed": st.integers(0, 2**53 - 1),
            }
        ),
        "jpeg": st.fixed_dictionaries({"quality": st.integers(1, 100)}),
        "colour": st.fixed_dictionaries(
            {"temperature": st.floats(-127, 127), "saturation": st.floats(-255, 255)},
        ),
    },
)


@given(photo=photos, draw=draws)
@settings(max_examples=150, deadline=None)
def test_any_draw_keeps_shape_and_dtype_and_repeats(photo, draw):
    before = photo.copy()
    degraded = apply(draw, photo)
    assert degraded.shape == photo.shape
    assert degraded.dtype == np.uint8
    assert np.array_equal(photo, before)
    assert pixels_sha256(degraded) == pixels_sha256(apply(draw, before))


@given(photo=photos, seed=st.integers(0, 2**53 - 1), method=st.sampled_from(METHODS), angle_deg=st.floats(0, 180))
@settings(max_examples=60, deadline=None)
def test_strength_zero_is_the_identity(photo, seed, method, angle_deg):
    for same in (
        gaussian_blur(photo, 0.0),
        motion_blur(photo, 1, angle_deg),
        downscale_and_back(photo, 1.0, method),
        gaussian_noise(photo, 0.0, seed),
        salt_pepper_noise(photo, 0.0, seed),
        shift_temperature(photo, 0.0),
        shift_saturation(photo, 0.0),
    ):
        assert np.array_equal(same, photo)


@given(photo=photos, angle_deg=st.floats(0, 180), sigma_px=st.floats(0, 20), length_px=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_blur_invents_no_value_and_keeps_flat_areas(photo, angle_deg, sigma_px, length_px):
    for blurred in (gaussian_blur(photo, sigma_px), motion_blur(photo, length_px, angle_deg)):
        assert photo.min() <= blurred.min()
        assert blurred.max() <= photo.max()
    flat = np.full_like(photo, photo[0, 0])
    assert np.array_equal(gaussian_blur(flat, sigma_px), flat)
    assert np.array_equal(motion_blur(flat, length_px, angle_deg), flat)


@given(value=st.integers(0, 255), draw=draws)
@settings(max_examples=60, deadline=None)
def test_only_noise_and_warmth_colour_a_flat_grey(value, draw):
    draw = {name: drawn for name, drawn in draw.items() if name != "noise"}
    if "colour" in draw:
        draw = {**draw, "colour": {"saturation": draw["colour"]["saturation"]}}
    grey = np.full((24, 24, 3), value, np.uint8)
    assert np.ptp(apply(draw, grey), axis=2).max() == 0
    assert np.array_equal(apply({**draw, "jpeg": {"quality": 100}}, grey), grey)


STRONGER = {
    "gaussian blur": lambda pixels, i: gaussian_blur(pixels, [0.5, 1, 2, 4, 7][i]),
    "motion blur": lambda pixels, i: motion_blur(pixels, [2, 4, 8, 15, 25][i], 30.0),
    **{
        f"downscale {method}": lambda pixels, i, method=method: downscale_and_back(
            pixels, [0.9, 0.7, 0.5, 0.3, 0.15][i], method
        )
        for method in METHODS
    },
    "gaussian noise": lambda pixels, i: gaussian_noise(pixels, [2, 5, 10, 20, 40][i], 1),
    "salt and pepper": lambda pixels, i: salt_pepper_noise(pixels, [0.01, 0.02, 0.05, 0.1, 0.3][i], 1),
    "jpeg": lambda pixels, i: jpeg(pixels, [95, 75, 50, 25, 8][i]),
    "warmer": lambda pixels, i: shift_temperature(pixels, [1, 3, 8, 16, 30][i]),
    "cooler": lambda pixels, i: shift_temperature(pixels, -[1, 3, 8, 16, 30][i]),
    "more saturated": lambda pixels, i: shift_saturation(pixels, [3, 10, 25, 60, 120][i]),
    "less saturated": lambda pixels, i: shift_saturation(pixels, -[3, 10, 25, 60, 120][i]),
}


@pytest.mark.parametrize("operation", STRONGER)
def test_stronger_is_never_better_on_average(operation, ring):
    rings = [ring(seed) for seed in range(12)]
    means = [
        np.mean([METRICS["psnr_db"].of_pixels(one, STRONGER[operation](one, i)) for one in rings]) for i in range(5)
    ]
    assert np.all(np.diff(means) < 0)


def test_the_levels_rank_on_drawn_photos(level, ring):
    """Twelve drawn rings, two draws each: mean PSNR falls by 2 dB a step, mean SSIM falls, 90 % fall one by one."""
    rings, scores = [ring(seed) for seed in range(12)], []
    for name in ("mild", "moderate", "severe"):
        steps = steps_of(level(name))
        pairs = [(r, apply(sample(steps, v, name, 0, f"{i}.jpg"), r)) for i, r in enumerate(rings) for v in (1, 2)]
        scores.append([[METRICS[name].of_pixels(*pair) for name in ("psnr_db", "ssim")] for pair in pairs])
    steps_down = -np.diff(scores, axis=0)  # (2 steps, photos, 2 metrics)
    assert steps_down.mean(axis=1)[:, 0].min() >= 2
    assert steps_down.mean(axis=1)[:, 1].min() > 0
    assert np.mean(np.all(steps_down > 0, axis=0), axis=0).min() >= 0.9
