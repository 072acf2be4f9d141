"""Finds inputs that lie beside their targets: in one pair where it can be seen, else in all of them together.

Phase correlation (Kuglin and Hines, 1975) finds the shift between two images. Blur and noise as strong as the severe
levels' leave it nothing to find in a single pair: what it then reports is chance, tens of pixels at times. So a pair is
only called misaligned when moving it back really brings it nearer to its target, and the shift common to a whole data
set is looked for in the mean of all its pairs, where chance cancels (measured in experiments/pair_alignment).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jewelenh.pairs.npy import Array

MIN_SHIFT_PX = 1.0
"""Of one pair."""
MAX_ERROR_LEFT = 0.9
"""A pair is misaligned when moving it back leaves less than this share of its RMS error; real pairs leave 0.997."""
MIN_COMMON_SHIFT_PX = 2.0
"""Of all pairs: aligned severe pairs gave up to 1."""
MIN_COMMON_PEAK = 12.0
"""Height of the mean correlation's peak in its standard deviations; the severe and the study level gave 14 and 22."""
MIN_PAIRS = 8


@dataclass(frozen=True)
class Shift:
    """How far inputs lie below and to the right of their targets, in pixels."""

    down: int
    right: int
    peak: float
    """Height of the correlation's peak in standard deviations of the correlation."""

    @property
    def px(self) -> float:
        """Return the distance."""
        return float(np.hypot(self.down, self.right))

    def __str__(self) -> str:
        return f"{self.down:+d} px down and {self.right:+d} px right"


def cross_phase(image_input: Array, image_target: Array) -> Array:
    """Return the phases between two (3, H, W) images, (H, W // 2 + 1) complex64 of magnitude 1 (0 if flat)."""
    height, width = image_target.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    spectra = []
    for image in (image_input, image_target):
        grey = image.mean(axis=0, dtype=np.float32)
        spectra.append(np.fft.rfft2((grey - grey.mean()) * window))
    product = spectra[0] * np.conj(spectra[1])
    size = np.abs(product)
    return np.where(size > 1e-6, product / np.maximum(size, 1e-6), 0).astype(np.complex64)


def shift_of(phase: Array, side: tuple[int, int]) -> Shift:
    """Return the shift at the peak of the correlation that (a mean of) `cross_phase` describes."""
    correlation = np.fft.irfft2(phase, side)
    place = np.unravel_index(int(correlation.argmax()), side)
    down, right = ((int(at) + n // 2) % n - n // 2 for at, n in zip(place, side, strict=True))
    spread = float(correlation.std())
    return Shift(down, right, float(correlation.max()) / spread if spread > 0 else 0.0)


def misaligned(image_input: Array, image_target: Array, shift: Shift) -> bool:
    """Say whether moving the input back by `shift` brings it much nearer to its target."""
    height, width = image_target.shape[1:]
    if shift.px < MIN_SHIFT_PX or abs(shift.down) > height // 4 or abs(shift.right) > width // 4:
        return False
    margin_y, margin_x = abs(shift.down), abs(shift.right)
    inner = (slice(margin_y, height - margin_y), slice(margin_x, width - margin_x))
    greys = [image.mean(axis=0, dtype=np.float32) for image in (image_input, image_target)]
    moved = np.roll(greys[0], (-shift.down, -shift.right), axis=(0, 1))
    before, after = (float(np.square((grey - greys[1])[inner]).mean()) for grey in (greys[0], moved))
    return after < MAX_ERROR_LEFT**2 * before


class CommonShift:
    """Adds up the phases of many pairs, by size, and says what shift they have in common."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int], Array] = {}
        self._counts: dict[tuple[int, int], int] = {}

    def add(self, phase: Array, side: tuple[int, int]) -> None:
        """Add one pair."""
        self._sums[side] = self._sums[side] + phase if side in self._sums else phase.astype(np.complex128)
        self._counts[side] = self._counts.get(side, 0) + 1

    def found(self) -> Mapping[tuple[int, int], Shift]:
        """Return, by size, the shifts that are large and sure enough to be a mistake."""
        shifts = {side: shift_of(total, side) for side, total in self._sums.items() if self._counts[side] >= MIN_PAIRS}
        return {
            s: shift for s, shift in shifts.items() if shift.px >= MIN_COMMON_SHIFT_PX and shift.peak >= MIN_COMMON_PEAK
        }
