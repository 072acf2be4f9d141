"""The five steps of a degradation as albumentations transforms, with drawing kept apart from doing.

    step.draw(uniforms)         -> {"quality": 54}      plain JSON values, all there is to know about what will happen
    step.do(pixels, **drawn)    -> pixels               deterministic, safe in any thread

albumentations' own transforms draw inside the call from a state of their own and keep what they drew as arrays
(kernels, noise maps, masks), which no line of JSON holds; those that come near also do something else (each operation
says why). So these are five `ImageOnlyTransform`s: in an `A.Compose` or `A.ReplayCompose` they work like any other, and
the stage calls `draw` and `do` itself, which also saves the 0.03 ms a call that an `A.Compose` of one takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, TypeVar

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks the network for a newer version

import albumentations as A

from jewelenh.degradation import levels
from jewelenh.degradation.colour import shift_saturation, shift_temperature
from jewelenh.degradation.operations import (
    downscale_and_back,
    gaussian_blur,
    gaussian_noise,
    jpeg,
    motion_blur,
    salt_pepper_noise,
)
from jewelenh.images import Pixels

T = TypeVar("T")
N_UNIFORMS = 8
"""Random numbers a step takes, whatever it draws: other values for one step leave the draws of the others alone."""
DIGITS = 4
"""Drawn numbers are rounded to this many decimals: what is written down is what is done."""


class Step(A.ImageOnlyTransform):  # type: ignore[misc]
    """One step; its arguments are the fields of `schema`, checked by it, with `probability` called `p`."""

    name: ClassVar[str]
    schema: ClassVar[type[Any]]

    def __init__(self, p: float = 0.5, **values: Any) -> None:
        super().__init__(p=p)
        self.values = self.schema(probability=p, **values)

    def draw(self, uniforms: Iterator[float]) -> dict[str, Any]:
        """Return drawn parameters for `do` from up to `N_UNIFORMS` - 1 numbers in [0, 1)."""
        raise NotImplementedError

    do: ClassVar[Callable[..., Pixels]]
    """Do to (H, W, 3) uint8 pixels what was drawn; without parameters nothing."""

    def apply(self, img: Pixels, shape: object = None, **drawn: Any) -> Pixels:
        """Do what was drawn, inside albumentations' compositions, which add the shape."""
        return type(self).do(img, **drawn)

    def get_params(self) -> dict[str, Any]:
        """Draw from albumentations' own state, inside its compositions."""
        return self.draw(iter(self.random_generator.random(N_UNIFORMS).tolist()))

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return the arguments that make this step again, for albumentations' serialisation."""
        return {name: value for name, value in asdict(self.values).items() if name != "probability"}


class BlurStep(Step):
    """Gaussian blur, motion blur, or both."""

    name, schema = "blur", levels.Blur

    def draw(self, uniforms: Iterator[float]) -> dict[str, Any]:
        """Draw the kind, then sigma, length and angle as far as the kind has them."""
        kind = _one_of(self.values.kinds, uniforms)
        gaussian = {"gaussian_sigma_px": _between(self.values.gaussian_sigma_px, uniforms)}
        motion = {
            "motion_length_px": _whole_between(self.values.motion_length_px, uniforms),
            "motion_angle_deg": _between(self.values.motion_angle_deg, uniforms),
        }
        return {**(gaussian if kind != "motion" else {}), **(motion if kind != "gaussian" else {})}

    @staticmethod
    def do(
        pixels: Pixels, gaussian_sigma_px: float = 0.0, motion_length_px: int = 1, motion_angle_deg: float = 0.0
    ) -> Pixels:
        """Blur (H, W, 3) uint8."""
        return motion_blur(gaussian_blur(pixels, gaussian_sigma_px), motion_length_px, motion_angle_deg)


class DownscaleStep(Step):
    """Smaller, then as large as before."""

    name, schema, do = "downscale", levels.Downscale, staticmethod(downscale_and_back)

    def draw(self, uniforms: Iterator[float]) -> dict[str, Any]:
        """Draw the factor and the method."""
        return {"factor": _between(self.values.factor, uniforms), "method": _one_of(self.values.methods, uniforms)}


class NoiseStep(Step):
    """Gaussian noise, salt and pepper, or both."""

    name, schema = "noise", levels.Noise

    def draw(self, uniforms: Iterator[float]) -> dict[str, Any]:
        """Draw the kind, the strengths as far as the kind has them, and the seed that remakes the noise."""
        kind = _one_of(self.values.kinds, uniforms)
        gaussian = {"gaussian_sigma": _between(self.values.gaussian_sigma, uniforms)}
        salt_pepper = {"salt_pepper_amount": _between(self.values.salt_pepper_amount, uniforms)}
        seed = {"seed": int(next(uniforms) * 2**53)}
        return {**(gaussian if kind != "salt_pepper" else {}), **(salt_pepper if kind != "gaussian" else {}), **seed}

    @staticmethod
    def do(pixels: Pixels, gaussian_sigma: float = 0.0, salt_pepper_amount: float = 0.0, seed: int = 0) -> Pixels:
        """Add noise to (H, W, 3) uint8."""
        noisy = gaussian_noise(pixels, gaussian_sigma, seed) if gaussian_sigma else pixels
        return salt_pepper_noise(noisy, salt_pepper_amount, seed) if salt_pepper_amount else noisy


class JpegStep(Step):
    """JPEG compression."""

    name, schema, do = "jpeg", levels.Jpeg, staticmethod(jpeg)

    def draw(self, uniforms: Iterator[float]) -> dict[str, Any]:
        """Draw the quality."""
        return {"quality": _whole_between(self.values.quality, uniforms)}


class ColourStep(Step):
    """Wrong white balance, then wrong saturation."""

    name, schema = "colour", levels.Colour

    def draw(self, uniforms: Iterator[float]) -> dict[str, Any]:
        """Draw both shifts."""
        return {
            "temperature": _between(self.values.temperature, uniforms),
            "saturation": _between(self.values.saturation, uniforms),
        }

    @staticmethod
    def do(pixels: Pixels, temperature: float = 0.0, saturation: float = 0.0) -> Pixels:
        """Shift the colours of (H, W, 3) uint8."""
        return shift_saturation(shift_temperature(pixels, temperature), saturation)


STEPS: tuple[type[Step], ...] = (BlurStep, DownscaleStep, NoiseStep, JpegStep, ColourStep)
"""In the order in which they happen."""


def steps_of(level: levels.Degradation) -> list[Step]:
    """Return the level's steps in order; `A.Compose(steps_of(level))` is the level inside albumentations."""
    steps = []
    for step in STEPS:
        values = asdict(getattr(level, step.name))
        steps.append(step(p=values.pop("probability"), **values))
    return steps


def _between(ends: tuple[float, float], uniforms: Iterator[float]) -> float:
    low, high = ends
    return min(max(round(low + next(uniforms) * (high - low), DIGITS), low), high)


def _whole_between(ends: tuple[int, int], uniforms: Iterator[float]) -> int:
    low, high = ends
    return low + int(next(uniforms) * (high - low + 1))


def _one_of(choices: Sequence[T], uniforms: Iterator[float]) -> T:
    return choices[int(next(uniforms) * len(choices))]
