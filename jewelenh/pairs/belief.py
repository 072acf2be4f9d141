"""What foreign tensors mean, inferred from their numbers; where the numbers leave a doubt, a refusal and no guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from jewelenh.errors import PairsError
from jewelenh.images import ValueRange
from jewelenh.manifest import StoredFile
from jewelenh.pairs.check import BOUNDS, SLACK, SQUEEZED_BELOW
from jewelenh.pairs.contract import Format

MIN_FILES = 8
"""Fewer files than this may all lack dark values by chance."""
WARM = 1.0
"""Red minus blue of the mean image, in grey levels: gold jewellery on white is above it."""


@dataclass(frozen=True)
class Sample:
    """What one foreign file looks like."""

    file: StoredFile
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    low: float
    high: float
    means: Mapping[str, tuple[float, ...]]
    """Mean of each channel, by the layout that would make it one."""


@dataclass(frozen=True)
class Belief:
    """A format, and why."""

    format: Format
    reasons: tuple[str, ...]


def believe(samples: Mapping[str, Sample], override: Mapping[str, Any], where: Path) -> Belief:
    """Infer dtype, layout, range and colour order of all files together; `override` settles what it names.

    Raises:
        PairsError: what cannot be used, or cannot be told and is not in `override`.
    """
    files = list(samples.values())
    dtype, why_dtype = _dtype(files, where)
    layout, why_layout = _layout(files, override["layout"], where)
    value_range, why_range = _range(files, dtype, override["range"], where)
    low, high = BOUNDS["grey" if dtype == "uint8" else cast(ValueRange, value_range)]
    means = np.array([sample.means[layout] for sample in files])
    warmth = float((means[:, 0] - means[:, 2]).mean() / (high - low) * 255)
    colours, why_colours = _colours(warmth, override["colours"], where)
    sides = {side for sample in files for side in _sides(sample, layout)}
    size = sides.pop() if len(sides) == 1 else None
    made = Format(dtype, size, None, value_range, layout, colours, None)  # type: ignore[arg-type]
    return Belief(made, (why_dtype, why_layout, why_range, why_colours))


def _sides(sample: Sample, layout: str) -> tuple[int, ...]:
    return sample.shape[1:] if layout == "chw" else sample.shape[:2]


def _dtype(files: list[Sample], where: Path) -> tuple[str, str]:
    found = sorted({sample.dtype.str for sample in files})
    name = files[0].dtype.name
    if len(found) > 1 or name not in {"uint8", "float16", "float32"} or not files[0].dtype.isnative:
        fix = "save all of them again with array.astype('float32')"
        raise PairsError("These values cannot be used.", where=where, expected="float32", found=found, fix=fix)
    return name, f"dtype {name}: what all {len(files)} files say"


def _layout(files: list[Sample], given: str | None, where: Path) -> tuple[str, str]:
    fits = {
        "chw": all(len(sample.shape) == 3 and sample.shape[0] == 3 for sample in files),
        "hwc": all(len(sample.shape) == 3 and sample.shape[2] == 3 for sample in files),
    }
    possible = [name for name, fit in fits.items() if fit]
    shapes = sorted({sample.shape for sample in files})[:3]
    if not possible or (given is not None and given not in possible):
        expected = "(3, H, W) or (H, W, 3)" if given is None else f"believe.layout={given}"
        raise PairsError("These are not RGB images.", where=where, expected=expected, found=shapes)
    if given is not None:
        return given, f"layout {given}: you said so"
    if len(possible) > 1:
        raise _unsure("layout", "chw and hwc both fit", "believe.layout=chw or believe.layout=hwc", where)
    return possible[0], f"layout {possible[0]}: shapes are {', '.join(map(str, shapes))}"


def _range(files: list[Sample], dtype: str, given: str | None, where: Path) -> tuple[str, str]:
    broken = [sample.file.path for sample in files if not np.isfinite([sample.low, sample.high]).all()]
    if broken:
        raise PairsError("NaN or Inf among the values.", where=where, found=", ".join(broken[:5]))
    low, high = min(sample.low for sample in files), max(sample.high for sample in files)
    span = f"[{low:.4g}, {high:.4g}]"
    if dtype != "uint8" and high < SQUEEZED_BELOW and low > -1.02:
        raise PairsError(
            "These values were normalised twice: x / 127.5 - 1 was applied to values that were in [-1, 1] already.",
            where=where,
            found=f"all values of {len(files)} files in [{low:.5f}, {high:.5f}]",
            fix="undo it with (x + 1) * 127.5, save, and adopt again",
        )
    if dtype == "uint8":
        return _grey_range(high, given, span, where)
    guess, why = _guess_range(low, high, len(files))
    if given is not None:
        bounds = BOUNDS[cast(ValueRange, given)]
        if low < bounds[0] - SLACK * 2 or high > bounds[1] + SLACK * (bounds[1] - bounds[0]):
            raise PairsError("The values lie outside.", where=where, expected=f"believe.range={given}", found=span)
        return given, f"range {given}: you said so, and all values lie in {span}"
    if guess is None:
        raise _unsure("range", f"all values lie in {span}: {why}", "believe.range=signed, unit or grey", where)
    return guess, f"range {guess}: all values lie in {span}, {why}"


def _grey_range(high: float, given: str | None, span: str, where: Path) -> tuple[str, str]:
    if given not in {None, "grey"}:
        raise PairsError("uint8 holds 0 to 255.", where=where, expected=f"believe.range={given}", found=span)
    if given is None and high <= 2:
        raise _unsure("range", f"uint8, but all values lie in {span}", "believe.range=grey", where)
    return "signed", f"range 0 to 255: uint8, all values lie in {span}"


def _guess_range(low: float, high: float, n_files: int) -> tuple[str | None, str]:
    if low < -1 - SLACK or high > 255.5:
        return None, "no range that is known"
    if low < -0.05:
        return ("signed", "some below 0 and none beyond 1") if high <= 1 + SLACK else (None, "below 0 and above 1")
    if high > 2:
        return ("grey", "none below 0, many above 1") if high > 100 else (None, "too dark for [0, 255]")
    if high > 1 + SLACK:
        return None, "no range that is known"
    if n_files >= MIN_FILES and low < 0.02:
        return "unit", f"black is 0 in {n_files} files"
    return None, "[0, 1], or bright images in [-1, 1]"


def _colours(warmth: float, given: str | None, where: Path) -> tuple[str, str]:
    shown = f"red is {abs(warmth):.1f} grey levels {'above' if warmth >= 0 else 'below'} blue on average"
    if given is not None:
        return given, f"colours {given}: you said so ({shown} in the first-to-last order)"
    if warmth < -WARM:
        raise _unsure(
            "colours", f"{shown}, and gold is the other way", "believe.colours=bgr or believe.colours=rgb", where
        )
    because = "as gold has it" if warmth > WARM else "so there is hardly a colour to tell by, and rgb is what most use"
    return "rgb", f"colours rgb: {shown}, {because}"


def _unsure(what: str, found: str, fix: str, where: Path) -> PairsError:
    return PairsError(f"The {what} of these values cannot be told for sure.", where=where, found=found, fix=fix)
