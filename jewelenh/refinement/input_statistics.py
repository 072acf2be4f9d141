"""Input statistics: eight numbers of a picture, and their ranges over the pictures that a network was trained on.

A network repairs what it has seen. Given something else, such as a photo under another light or already retouched, it
changes colours for no reason, and nothing in the result says so. So a checkpoint carries the ranges of its training
`input` pictures, and whoever restores a photo can be told which of its numbers lie out of range.

Pictures are compared at the geometry of the pairs: short side to `size`, centre square. Out of range means: beyond the
2nd to 98th percentile of training by more than twice the spread of training, or than what an eye notices.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jewelenh.errors import JewelenhError
from jewelenh.images import Pixels, resize, to_uint8
from jewelenh.pairs.contract import read_pairs

log = logging.getLogger(__name__)

N_PICTURES = 32
"""Training pictures that are measured, evenly chosen: under a second at 512 x 512."""
LARGEST_SIDE_PX = 1024
"""Where pairs keep the enhancer's own size, pictures are measured at this short side at most."""
FAR = 2.0
"""Units beyond the percentiles from which a picture is out of range."""


@dataclass(frozen=True)
class Trait:
    """One number of a picture, and how to say that it is unusual."""

    below: str | None
    """None: less of it is no reason for doubt."""
    above: str
    unit: float
    """The smallest difference that matters, in the number's own unit."""


TRAITS: Mapping[str, Trait] = {
    "lightness": Trait("darker", "brighter", 4.0),  # mean L*, 0 to 100
    "contrast": Trait("flatter", "higher in contrast", 3.0),  # standard deviation of L*
    "red_green": Trait("greener", "redder", 1.5),  # mean a*
    "yellow_blue": Trait("bluer", "yellower", 1.5),  # mean b*
    "noise": Trait(None, "noisier", 0.75),  # standard deviation in grey levels
    "sharpness": Trait("blurrier", "sharper", 0.03),  # steepest edges as a share of the range of L*, per pixel
    "background": Trait("on a darker background", "on a brighter background", 5.0),  # median L* of the border
    "background_texture": Trait(None, "on a busier background", 2.0),  # mean distance of the border from it, in L*
}
FORMER = {"unrest": "background_texture"}
"""Names in older checkpoints."""


def measure(pixels: Pixels, size: int | None) -> dict[str, float]:
    """Return the traits of (H, W, 3) RGB pixels, uint8 or uint16; `size` is that of the pairs."""
    square = _square(to_uint8(pixels), size or LARGEST_SIDE_PX)
    lab = cv2.cvtColor(square, cv2.COLOR_RGB2LAB)  # 8 bits: L * 255 / 100, a + 128, b + 128
    means = cv2.mean(lab)
    light = lab[..., 0].astype(np.float32) * (100 / 255)
    frame = max(1, min(light.shape) // 20)
    edge = np.concatenate(
        [part.ravel() for part in (light[:frame], light[-frame:], light[:, :frame], light[:, -frame:])]
    )
    background = float(np.median(edge))
    low, high = np.percentile(light[::2, ::2], [1, 99])
    steep = cv2.magnitude(cv2.Sobel(light, -1, 1, 0), cv2.Sobel(light, -1, 0, 1)) / 8
    return {
        "lightness": float(light.mean()),
        "contrast": float(light.std()),
        "red_green": means[1] - 128,
        "yellow_blue": means[2] - 128,
        "noise": _noise(square),
        "sharpness": float(np.percentile(steep[::2], 99.5) / (high - low + 5)),
        "background": background,
        "background_texture": float(np.abs(edge - background).mean()),
    }


def _square(pixels: Pixels, size: int) -> Pixels:
    """Return the centre square with sides of at most `size`, as pairs are cut; nothing is enlarged."""
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side]
    return resize(square, min(size, side), min(size, side), "area")


def _noise(pixels: Pixels) -> float:
    """Return the noise in grey levels from the median of the finest diagonal detail (Donoho and Johnstone 1994)."""
    rows, columns = (side // 2 * 2 for side in pixels.shape[:2])
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:rows, :columns].astype(np.float32)
    if not grey.size:
        return 0.0
    detail = (grey[::2, ::2] - grey[1::2, ::2] - grey[::2, 1::2] + grey[1::2, 1::2]) / 2
    return float(np.median(np.abs(detail)) / 0.6745)


def describe_training(pairs_dir: Path) -> dict[str, Any] | None:
    """Return what a checkpoint keeps of its training pictures, in plain numbers; None where they cannot be read.

    A checkpoint is worth more than this description, so a pairs directory that is gone is said and no error.
    """
    try:
        return _describe_training(Path(pairs_dir))
    except (JewelenhError, OSError) as error:
        log.warning("the checkpoint does not say what its training pictures look like: %s", str(error).splitlines()[0])
        return None


@functools.lru_cache(maxsize=4)
def _describe_training(pairs_dir: Path) -> dict[str, Any]:
    """A pairs directory never changes, and checkpoints are written every epoch: measure it once."""
    pairs = read_pairs(pairs_dir)
    train = pairs.split("train")
    chosen = [train[i] for i in np.linspace(0, len(train) - 1, min(len(train), N_PICTURES)).round().astype(int)]
    size = pairs.format.size
    rows = [measure(pairs.pixels(pair.input), size) for pair in chosen]
    ranges = {name: _range([row[name] for row in rows]) for name in TRAITS} if rows else {}
    return {"version": 1, "size": size, "n_pictures": len(rows), "traits": ranges}


def _range(values: list[float]) -> dict[str, float]:
    low, first, median, third, high = np.percentile(values, [2, 25, 50, 75, 98])
    spread = (third - first) / 1.349  # the standard deviation, were they normal
    return {"low": float(low), "median": float(median), "high": float(high), "spread": float(spread)}


@dataclass(frozen=True)
class OutOfRange:
    """One trait of a picture that lies outside of what training saw."""

    trait: str
    words: str
    value: float
    low: float
    high: float
    distance: float
    """Beyond the range, in units."""


def out_of_range(pixels: Pixels, trained_on: Mapping[str, Any]) -> list[OutOfRange]:
    """Return the traits in which (H, W, 3) `input` pixels are out of range of a training, the furthest first."""
    values = measure(pixels, trained_on["size"])
    found = []
    for key, seen in trained_on["traits"].items():
        name = FORMER.get(key, key)
        trait, value = TRAITS[name], values[name]
        unit = max(trait.unit, seen["spread"])
        distance = max(seen["low"] - value, value - seen["high"]) / unit
        words = trait.below if value < seen["low"] else trait.above
        if distance > FAR and words is not None:
            found.append(OutOfRange(name, words, value, seen["low"], seen["high"], distance))
    return sorted(found, key=lambda one: -one.distance)
