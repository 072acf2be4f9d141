"""A degradation level, typed: five steps with their probabilities and ranges; and the preview of levels.

Ranges are `[low, high]`, both ends included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from jewelenh.config import STRICT, Probability, parse


@plain_dataclass(frozen=True)
class Within:
    """Check that a `[low, high]` range is the right way round and lies inside [`lowest`, `highest`]."""

    lowest: float
    highest: float

    def __call__(self, value: tuple[float, float]) -> tuple[float, float]:
        """Return the range, or raise ValueError with what is allowed."""
        low, high = value
        if not low <= high:  # not a number is no end of a range either
            raise ValueError(f"a range [low, high] with low <= high; to swap the ends write [{high:g}, {low:g}]")
        if low < self.lowest or high > self.highest:
            raise ValueError(f"a range inside [{self.lowest:g}, {self.highest:g}]")
        return value


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Blur:
    """Gaussian blur, motion blur, or one after the other."""

    probability: Probability
    gaussian_sigma_px: Annotated[tuple[float, float], AfterValidator(Within(0, 50))]
    motion_length_px: Annotated[tuple[int, int], AfterValidator(Within(1, 99))]
    """Length of the line, not the side of a kernel: even and odd lengths are both centred; 1 moves nothing."""
    motion_angle_deg: Annotated[tuple[float, float], AfterValidator(Within(0, 180))] = (0.0, 180.0)
    kinds: Annotated[tuple[Literal["gaussian", "motion", "both"], ...], Field(min_length=1)] = (
        "gaussian",
        "motion",
        "both",
    )
    """Drawn with equal odds."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Downscale:
    """Make the photo smaller, then as large as it was."""

    probability: Probability
    factor: Annotated[tuple[float, float], AfterValidator(Within(0.01, 1))]
    """Side length of the small photo as a share of the original's."""
    methods: Annotated[
        tuple[Literal["nearest", "bilinear", "bicubic", "lanczos", "area"], ...], Field(min_length=1)
    ] = ("nearest", "bilinear", "bicubic", "lanczos")
    """Drawn with equal odds; the same method goes down and up (`area` goes up bilinearly)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Noise:
    """Gaussian noise, salt-and-pepper noise, or one after the other."""

    probability: Probability
    gaussian_sigma: Annotated[tuple[float, float], AfterValidator(Within(0, 255))]
    """Standard deviation in 8-bit grey levels."""
    salt_pepper_amount: Annotated[tuple[float, float], AfterValidator(Within(0, 1))] = (0.0, 0.0)
    """Share of the pixels that turn black or white."""
    kinds: Annotated[tuple[Literal["gaussian", "salt_pepper", "both"], ...], Field(min_length=1)] = (
        "gaussian",
        "salt_pepper",
        "both",
    )
    """Drawn with equal odds."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Jpeg:
    """JPEG compression artefacts."""

    probability: Probability
    quality: Annotated[tuple[int, int], AfterValidator(Within(1, 100))]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Colour:
    """A wrong white balance and a wrong saturation."""

    probability: Probability
    temperature: Annotated[tuple[float, float], AfterValidator(Within(-127, 127))]
    """Shift of the CIELAB b channel, in 8-bit LAB units: above 0 is warmer."""
    saturation: Annotated[tuple[float, float], AfterValidator(Within(-255, 255))]
    """Shift of the HSV saturation, in 8-bit units; neutral greys stay neutral."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Degradation:
    """One degradation level: blur, downscale, noise, JPEG, colour, in this order, each with its own probability."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]
    blur: Blur
    downscale: Downscale
    noise: Noise
    jpeg: Jpeg
    colour: Colour
    variants: Annotated[int, Field(ge=1, le=1000)] = 1
    """Different degraded versions of each photo."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Levels:
    """Several levels at once: every photo at each of them, and as it came."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]
    levels: Annotated[Mapping[str, Degradation], Field(min_length=1)]
    undegraded: bool = True
    """Raw photos are among the inputs, as level `none`."""


UNDEGRADED = "none"
"""Level of photos that were not degraded."""


def _one_or_several(values: Any) -> Any:
    several = isinstance(values, Mapping) and "levels" in values
    return parse(Levels if several else Degradation, values, "degradation") if isinstance(values, Mapping) else values


def _single(levels: Any) -> Any:
    if not isinstance(levels, Mapping):
        return levels
    return {name: one for name, one in levels.items() if not (isinstance(one, Mapping) and "levels" in one)}


AnyDegradation = Annotated[Degradation | Levels, BeforeValidator(_one_or_several)]
SingleLevels = Annotated[Mapping[str, Degradation], BeforeValidator(_single)]
"""The options of a group of levels, without those that stand for several."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Preview:
    """A contact sheet of levels, and nothing else."""

    photos: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """Rows, spread evenly over the source."""
    levels: SingleLevels = Field(default_factory=dict)
    """Columns, left to right."""

    def __post_init__(self) -> None:
        if self.photos is not None and not self.levels:
            raise ValueError("photos beside levels alone: add preview=true")


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) and value != "all" else value


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scoring:
    """What checkpoints are scored on and how much is shown; the test of a training takes the defaults."""

    split: Literal["train", "val", "test"] = "test"
    levels: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_names)] = ("none",)
    """Levels that the same photos are tried at beside their own: all, or some by name; `none` is not degraded."""
    known_levels: SingleLevels = Field(default_factory=dict)
    """What the names stand for: the files of conf/degradation."""
    photos: Annotated[int, Field(ge=1, le=12, strict=True)] = 3
    """Rows of the comparison, from the largest gain to the smallest."""
    lpips_weights: Path | None = None
    """AlexNet's weights as a file; null: torch's download cache, else LPIPS is left out."""
    inception_weights: Path | None = None
    """Inception's weights for FID (above 1000 photos only); null: torch's download cache."""
