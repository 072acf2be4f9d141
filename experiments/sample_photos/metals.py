"""Jewellery metals from measured optical constants, because a guessed colour of gold looks like paint.

Measured n and k come from the .spd tables that Mitsuba ships (Au, Ag, Cu: Johnson & Christy / Palik compilations on
luxpop.com; Rh: Weaver et al., same site). Platinum is not among them: the Lorentz-Drude fit to measured data of
Rakic et al., Applied Optics 37 (1998) 5271, table 2, is used. Approximated: the karat alloys are mixed from the
permittivities of their metals by volume, which keeps the order of their colours, not their exact hue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from mesh import Floats
from numpy.typing import NDArray

Complexes = NDArray[np.complex128]

WAVELENGTH_NM = np.arange(400.0, 701.0, 5.0)
DENSITY = {"Au": 19.3, "Ag": 10.49, "Cu": 8.96}  # g/cm3

# Fractions by mass. After the common trade recipes (Cretu & van der Lingen, Gold Bulletin 32 (1999) 115).
ALLOYS: dict[str, dict[str, float]] = {
    "yellow gold 18k": {"Au": 0.75, "Ag": 0.09, "Cu": 0.16},
    "yellow gold 22k": {"Au": 0.917, "Ag": 0.02, "Cu": 0.063},
    "rose gold 14k": {"Au": 0.585, "Ag": 0.02, "Cu": 0.395},
    "silver": {"Ag": 1.0},
}
# White gold is sold rhodium-plated: what the eye sees is rhodium.
METALS = (*ALLOYS, "white gold", "platinum")

# Rakic 1998, platinum: plasma energy 9.59 eV; oscillator strength, damping (eV), resonance (eV).
_PLATINUM = (
    (0.333, 0.080, 0.0),
    (0.191, 0.517, 0.780),
    (0.659, 1.838, 1.314),
    (0.547, 3.668, 3.141),
    (3.576, 8.517, 9.249),
)


@dataclass(frozen=True)
class Conductor:
    """RGB index `eta` and extinction `k` for a renderer that works in linear sRGB."""

    eta: tuple[float, float, float]
    k: tuple[float, float, float]


def platinum_permittivity(wavelength_nm: Floats) -> Complexes:
    energy = 1239.842 / wavelength_nm
    result = np.ones_like(energy, dtype=complex)
    for strength, damping, resonance in _PLATINUM:
        result += strength * 9.59**2 / (resonance**2 - energy**2 - 1j * energy * damping)
    return result


def _table(ior_dir: Path, name: str) -> Floats:
    rows = [line.split() for line in (ior_dir / f"{name}.spd").read_text().splitlines() if line[:1].isdigit()]
    wavelength, value = np.array(rows, dtype=float).T
    return np.interp(WAVELENGTH_NM, wavelength, value)


def permittivity(metal: str, ior_dir: Path) -> Complexes:
    """Complex permittivity on `WAVELENGTH_NM`; `ior_dir` is the renderer's folder of measured tables."""

    def measured(element: str) -> Complexes:
        return (_table(ior_dir, f"{element}.eta") + 1j * _table(ior_dir, f"{element}.k")) ** 2

    if metal == "platinum":
        return platinum_permittivity(WAVELENGTH_NM)
    if metal == "white gold":
        return measured("Rh")
    volume = {element: mass / DENSITY[element] for element, mass in ALLOYS[metal].items()}
    total = sum(volume.values())
    return np.sum([measured(element) * part / total for element, part in volume.items()], axis=0)


def rgb_weights() -> Floats:
    """(W, 3) weights turning a reflectance under D65 into linear sRGB; white maps to (1, 1, 1).

    Colour matching: the multi-lobe fit of Wyman, Sloan & Shirley, JCGT 2(2) (2013). D65 as its 6504 K black body,
    which is normalised away to first order.
    """

    def lobe(mean: float, below: float, above: float) -> Floats:
        width = np.where(mean > WAVELENGTH_NM, below, above)
        return np.exp(-0.5 * ((WAVELENGTH_NM - mean) * width) ** 2)

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323) - 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    light = WAVELENGTH_NM**-5.0 / (np.exp(1.4388e7 / (WAVELENGTH_NM * 6504.0)) - 1.0)
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    weights = (np.stack([x, y, z], 1) * light[:, None]) @ to_rgb.T
    return weights / weights.sum(0)


@cache
def conductor(metal: str, ior_dir: Path) -> Conductor:
    """RGB constants whose reflectance at normal incidence equals the spectral one under daylight.

    Averaging n and k themselves greys the colour, so only n is averaged and k follows from the reflectance.
    """
    index = np.sqrt(permittivity(metal, ior_dir))
    reflectance = np.abs((index - 1) / (index + 1)) ** 2
    weights = rgb_weights()
    r = reflectance @ weights
    r = np.clip(r * min(1.0, 0.985 / r.max()), 0.02, 1.0)  # gold's red lies outside sRGB: scaled, to keep its hue
    eta = np.clip(index.real @ weights, 0.08, 4.0)
    k = np.sqrt(np.maximum((r * (eta + 1) ** 2 - (eta - 1) ** 2) / (1 - r), 0.0))
    return Conductor(tuple(float(v) for v in eta), tuple(float(v) for v in k))  # type: ignore[arg-type]
