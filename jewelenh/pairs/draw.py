"""Which part of an image a batch shows, and how it is turned: drawn from (seed, epoch, stem) alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from jewelenh.pairs.npy import Array
from jewelenh.seeds import seed_for

_TURNED_BY_OPENCV = (np.dtype(np.uint8), np.dtype(np.float32))
_TURN: dict[int, Callable[[Array, Array], object]] = {
    1: lambda plane, out: cv2.rotate(plane, cv2.ROTATE_90_COUNTERCLOCKWISE, dst=out),
    2: lambda plane, out: cv2.flip(plane, -1, dst=out),
    3: lambda plane, out: cv2.rotate(plane, cv2.ROTATE_90_CLOCKWISE, dst=out),
    4: lambda plane, out: cv2.flip(plane, 1, dst=out),
    5: lambda plane, out: cv2.transpose(plane, dst=out),
    6: lambda plane, out: cv2.flip(plane, 0, dst=out),
    7: lambda plane, out: cv2.transpose(cv2.flip(plane, -1), dst=out),
}
"""What `turned` does to one plane, for each of its turns but the first."""


@dataclass(frozen=True)
class Cut:
    """A crop and what is done to it, the same for `input` and `target`."""

    top: int
    left: int
    height: int
    width: int
    is_mirrored: bool = False
    n_quarter_turns: int = 0
    """Counter-clockwise, after mirroring."""

    @property
    def dihedral(self) -> int:
        """Return 0 to 7: quarter turns, plus 4 where mirrored."""
        return self.n_quarter_turns + 4 * self.is_mirrored

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width) of what comes out."""
        return (self.height, self.width) if self.n_quarter_turns % 2 == 0 else (self.width, self.height)

    def copy(self, image: Array, into: Array) -> None:
        """Copy the cut of (3, H, W) into (3, h, w); turns by OpenCV, up to ten times as fast as strided copies."""
        part = image[..., self.top : self.top + self.height, self.left : self.left + self.width]
        if self.dihedral == 0 or image.dtype not in _TURNED_BY_OPENCV:
            into[...] = turned(part, self.dihedral)
            return
        for plane, out in zip(part, into, strict=True):
            _TURN[self.dihedral](plane, out)

    def of(self, image: Array) -> Array:
        """Return the cut of (..., H, W) as a view."""
        part = image[..., self.top : self.top + self.height, self.left : self.left + self.width]
        return turned(part, self.dihedral)


def turned(image: Array, dihedral: int) -> Array:
    """Mirror and turn the last two axes, as a view."""
    if dihedral >= 4:
        image = image[..., ::-1]
    return np.rot90(image, dihedral % 4, axes=(-2, -1))


def draw(side: tuple[int, int], crop: int | None, augment: bool, names: tuple[int, int, str]) -> Cut:
    """Draw a cut of an image of (height, width) for (seed, epoch, stem).

    A quarter turn needs a square, so a whole image that is none is only mirrored and turned upside down. SHA-256 gives
    the bits directly: a generator per image and epoch would take ten times as long.
    """
    height, width = (crop, crop) if crop is not None else side
    bits = seed_for(names[0], "cut", names[1], names[2])
    top = (bits & 0xFFFFFFFFFFFF) % (side[0] - height + 1)
    left = (bits >> 48 & 0xFFFFFFFFFFFF) % (side[1] - width + 1)
    if not augment:
        return Cut(top, left, height, width)
    turns = bits >> 96 & 3
    return Cut(top, left, height, width, bool(bits >> 98 & 1), turns if height == width else turns & 2)


def centre(side: tuple[int, int], crop: int | None) -> Cut:
    """Return the middle of an image, or all of it."""
    height, width = (min(crop, side[0]), min(crop, side[1])) if crop is not None else side
    return Cut((side[0] - height) // 2, (side[1] - width) // 2, height, width)
