"""Colour: a wrong white balance (CIELAB b) and a wrong saturation (HSV), without 8-bit steps on the way.

Both come down to closed forms in RGB, so no hue is rounded to 2 degrees, nothing wraps around, and a shift of 0 changes
nothing. Only additions, multiplications, divisions and tables: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from jewelenh.images import Pixels

Floats = npt.NDArray[np.float32]
_TOP = 2**16 - 1
"""Steps of linear light: the 256 stored values are 20 or more of them apart, so a shift near 0 comes back."""
_Z_TOP = 2**14 - 1
"""Steps of Z in the table of its changes: measured within 0.1 grey levels of the closed form."""
_Z_OF_RGB = np.array([0.0193339, 0.1191920, 0.9503041])
"""Third row of linear sRGB to XYZ, D65 (IEC 61966-2-1); the sum is Z of white."""
_RGB_OF_Z = np.array([-0.4985314, 0.0415560, 1.0572252])
"""Third column of XYZ to linear sRGB."""


def shift_temperature(pixels: Pixels, temperature: float) -> Pixels:
    """Shift CIELAB b of (H, W, 3) uint8 sRGB by `temperature` (8-bit LAB units): above 0 warmer, below 0 cooler.

    L and a stay, so X and Y stay, and only Z changes: one table from Z to its change, added to linear RGB. Neutral
    greys take on the cast, as they do under a wrong white balance. Colours outside sRGB are clipped.
    """
    if temperature == 0:
        return pixels
    linear_of, stored_of, change_of = _linear_table(), _stored_table(), _change_of_z(temperature)
    shares = (_Z_OF_RGB / _Z_OF_RGB.sum()).astype(np.float32)
    gains = (_RGB_OF_Z * _Z_OF_RGB.sum()).astype(np.float32)
    shifted = np.empty_like(pixels)
    for rows in _bands(pixels):
        red, green, blue = (linear_of[pixels[rows, :, i]] for i in range(3))
        change = change_of[_index(red * shares[0] + green * shares[1] + blue * shares[2], _Z_TOP)]
        for i, linear in enumerate((red, green, blue)):
            shifted[rows, :, i] = stored_of[_index(linear + change * gains[i], _TOP)]
    return shifted


def shift_saturation(pixels: Pixels, saturation: float) -> Pixels:
    """Shift HSV saturation of (H, W, 3) uint8 by `saturation` (8-bit units); hue and value stay.

    With hue and value fixed, each channel's distance below the largest one scales with the saturation. A shift up is at
    most the pixel's own saturation, so that neutral greys stay neutral and near-greys do not jump to a colour; a plain
    addition, as in the reference study, turns them reddish.
    """
    if saturation == 0:
        return pixels
    shifted = np.empty_like(pixels)
    for rows in _bands(pixels):
        band = pixels[rows].astype(np.float32)
        value = np.maximum(np.maximum(band[..., 0], band[..., 1]), band[..., 2])
        lowest = np.minimum(np.minimum(band[..., 0], band[..., 1]), band[..., 2])
        before = (value - lowest) * np.float32(255) / np.maximum(value, 1)  # 0 to 255, 0 for greys
        after = np.clip(before + np.minimum(np.float32(saturation), before), 0, 255)
        scale = after / np.maximum(before, np.float32(0.5))  # the smallest saturation that is not 0 is 1
        shifted[rows] = np.rint(value[..., None] - (value[..., None] - band) * scale[..., None])
    return shifted


def _bands(pixels: Pixels) -> Iterator[slice]:
    """Cut the rows into bands of about 2**13 pixels: what is computed beside the photo stays in the cache."""
    n_rows = max(1, 2**13 // pixels.shape[1])
    return (slice(top, top + n_rows) for top in range(0, pixels.shape[0], n_rows))


def _index(values: Floats, top: int) -> npt.NDArray[np.uint16]:
    """Map 0..1 to 0..top, the nearest place of a table, clipping what lies outside."""
    steps: npt.NDArray[np.uint16] = np.clip(np.rint(values * np.float32(top)), 0, top).astype(np.uint16)
    return steps


@cache
def _linear_table() -> Floats:
    """Return linear light of the 256 stored sRGB values (IEC 61966-2-1)."""
    stored = np.arange(256) / 255
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _stored_table() -> npt.NDArray[np.uint8]:
    """Return the stored 8-bit sRGB value of 2**16 steps of linear light; the inverse of `_linear_table`."""
    linear = np.arange(_TOP + 1) / _TOP
    stored = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: npt.NDArray[np.uint8] = np.rint(stored * 255).astype(np.uint8)
    return table


@cache
def _lab_table() -> npt.NDArray[np.float64]:
    """Return CIELAB's f of all steps of Z relative to white (CIE 15:2004, 8.2.1.1)."""
    ratio = np.arange(_Z_TOP + 1) / _Z_TOP
    return np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)


def _change_of_z(temperature: float) -> Floats:
    """Return the change of Z (white is 1) for all steps of Z, when b = 200 (f(Y) - f(Z)) grows by `temperature`."""
    lab = _lab_table() - temperature / 200
    ratio = np.where(lab > 6 / 29, lab**3, 3 * (6 / 29) ** 2 * (lab - 4 / 29))
    return (np.maximum(ratio, 0) - np.arange(_Z_TOP + 1) / _Z_TOP).astype(np.float32)
