"""Light, floor, surfaces and camera as plain values: what a catalogue studio sets up around a piece.

The light is a latitude-longitude image (z up) with soft boxes and dark flags: polished metal shows nothing but its
surroundings, so the flags draw its edges. The floor fills the frame, because every camera here looks down on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mesh import Floats, basis
from metals import METALS, conductor
from stones import GEMS

Rng = np.random.Generator
SKY_SHAPE = (256, 512)

BACKGROUNDS: dict[str, tuple[float, float, float]] = {
    "white": (0.86, 0.86, 0.86),
    "warm white": (0.86, 0.845, 0.82),
    "ivory": (0.84, 0.79, 0.70),
    "blush": (0.80, 0.62, 0.58),
    "powder blue": (0.58, 0.70, 0.80),
    "sage": (0.62, 0.72, 0.60),
    "lilac": (0.68, 0.62, 0.78),
    "pale grey": (0.60, 0.60, 0.61),
    "sand": (0.74, 0.64, 0.50),
}
ENAMEL_COLOURS = {
    "navy": (0.01, 0.03, 0.20), "red": (0.52, 0.012, 0.02), "green": (0.005, 0.16, 0.07),
    "black": (0.006, 0.006, 0.007), "turquoise": (0.02, 0.38, 0.42), "white": (0.80, 0.79, 0.76),
    "pink": (0.72, 0.16, 0.26),
}  # fmt: skip
PEARLS = {
    "pearl white": (0.94, 0.92, 0.89),
    "pearl rose": (0.93, 0.84, 0.80),
    "pearl grey": (0.26, 0.27, 0.30),
    "pearl gold": (0.90, 0.79, 0.56),
}
BEADS = {
    "coral": (0.66, 0.10, 0.06),
    "onyx": (0.008, 0.008, 0.009),
    "jade": (0.10, 0.42, 0.20),
    "lapis": (0.02, 0.05, 0.32),
    "turquoise": (0.05, 0.42, 0.44),
}
REGIONS = ("metal", "gem", "other")  # red, green and blue of a mask; ground is black


@dataclass(frozen=True)
class Softbox:
    """A lit (or, at a low radiance, black) rectangle on the sky, in degrees; azimuth 0 is behind the camera."""

    azimuth_deg: float
    elevation_deg: float
    half_width_deg: float
    half_height_deg: float
    radiance: float
    soft: float = 0.18


@dataclass(frozen=True)
class Camera:
    """A thin-lens camera. `aperture_mm` is the lens radius; it focuses on the point `focus`."""

    origin: tuple[float, float, float]
    target: tuple[float, float, float]
    fov_deg: float
    aperture_mm: float
    focus: tuple[float, float, float]

    def axes(self) -> Floats:
        """Right, up and forward as matrix rows."""
        forward = np.subtract(self.target, self.origin)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    def project(self, points: Floats) -> Floats:
        """Film coordinates (N, 2) in [0, 1], x to the right and y down."""
        local = (points - np.asarray(self.origin)) @ self.axes().T
        scale = 0.5 / np.tan(np.radians(self.fov_deg / 2))
        return np.stack([0.5 + scale * local[:, 0] / local[:, 2], 0.5 - scale * local[:, 1] / local[:, 2]], 1)

    @property
    def focus_distance(self) -> float:
        """Distance in mm, along the optical axis, to the plane of sharpness."""
        return float(np.subtract(self.focus, self.origin) @ self.axes()[2])


def framed(
    points: Floats,
    azimuth_deg: float,
    elevation_deg: float,
    fov_deg: float,
    fill: float,
    f_number: float,
    focus: Floats,
) -> Camera:
    """Aim so that `points` fill the share `fill` of the film, centred. `f_number` 0 is a pinhole."""
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    back = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    target, distance = points.mean(0), 4 * float(np.ptp(points, axis=0).max())
    for _ in range(12):
        camera = Camera(tuple(target + back * distance), tuple(target), fov_deg, 0.0, tuple(focus))  # type: ignore[arg-type]
        low, high = camera.project(points).min(0), camera.project(points).max(0)
        right, up, _ = camera.axes()
        size = 2 * distance * np.tan(np.radians(fov_deg / 2))
        middle = (low + high) / 2 - 0.5
        target = target + (right * middle[0] - up * middle[1]) * size
        distance *= float((high - low).max()) / fill
    focal_mm = 18.0 / np.tan(np.radians(fov_deg / 2)) * (distance / 400.0)
    aperture = focal_mm / (2 * f_number) if f_number > 0 else 0.0
    return Camera(tuple(target + back * distance), tuple(target), fov_deg, aperture, tuple(focus))  # type: ignore[arg-type]


def lighting(rng: Rng) -> tuple[str, float, float, list[Softbox]]:
    """Draw a light set-up: its name, sky radiance overhead and at the horizon, and its boxes in painting order."""
    name = str(rng.choice(["tent", "overhead", "window", "strips"]))
    side = float(rng.choice([-1.0, 1.0]))
    j = lambda v, s: float(v + rng.uniform(-s, s))  # noqa: E731
    flags = [Softbox(j(90, 12) * s, j(24, 6), j(9, 3), j(22, 6), 0.015, 0.25) for s in (-1, 1)]
    behind = Softbox(j(180, 15), j(14, 4), j(34, 8), j(6, 2), 0.02, 0.3)
    front = Softbox(j(0, 8), j(38, 6), j(13, 3), j(9, 2), 0.02, 0.3)  # the camera and who stands behind it
    if name == "tent":
        top = Softbox(j(0, 40), j(80, 6), 30, 24, j(3.6, 0.4))
        return name, 0.66, 0.30, [top, Softbox(side * j(60, 10), j(30, 6), 18, 26, 2.8), *flags, front]
    if name == "overhead":
        top = Softbox(j(180, 30), j(72, 6), j(31, 5), j(24, 4), j(5.2, 0.6), 0.12)
        strips = [Softbox(s * j(125, 10), j(32, 6), j(10, 3), 26, j(3.6, 0.6)) for s in (-1, 1)]
        return name, 0.44, 0.22, [top, *strips, *flags, front, behind]
    if name == "window":
        key = Softbox(side * j(70, 14), j(48, 6), j(25, 4), j(24, 4), j(7.0, 0.8), 0.08)
        fill = Softbox(-side * j(85, 12), j(44, 8), 20, 24, j(1.5, 0.3), 0.3)
        return name, 0.46, 0.22, [key, fill, Softbox(j(180, 12), j(60, 8), 20, 13, 3.6), *flags, front, behind]
    strips = [Softbox(s * j(62, 8), j(46, 6), j(11, 3), 34, j(6.2, 0.8), 0.1) for s in (-1, 1)]
    top = Softbox(j(180, 20), j(62, 6), j(30, 6), j(12, 3), j(5.0, 0.6), 0.1)
    return name, 0.42, 0.22, [*strips, top, *flags, front, behind]


def from_above(boxes: list[Softbox], elevation_deg: float, rng: Rng) -> list[Softbox]:
    """The same set-up for a camera that looks down: lights go to the sides and a grey card hangs where
    flat tops mirror it to the camera.

    Otherwise the tops of all links mirror the overhead box and white metal vanishes on a white floor.
    """
    lowered = [replace(box, elevation_deg=min(box.elevation_deg, float(rng.uniform(38, 46)))) for box in boxes]
    return [
        *lowered,
        Softbox(180.0, float(np.clip(elevation_deg, 48, 84)), 32.0, 30.0, float(rng.uniform(0.2, 0.4)), 0.6),
    ]


def _directions() -> Floats:
    """World directions (H, W, 3) of the sky image's pixels, as Mitsuba's envmap reads it once turned to z up."""
    rows, columns = SKY_SHAPE
    polar = (np.arange(rows) + 0.5) / rows * np.pi
    azimuth = (np.arange(columns) + 0.5) / columns * 2 * np.pi
    s = np.sin(polar)[:, None]
    return np.stack([s * np.sin(azimuth), s * np.cos(azimuth), np.broadcast_to(np.cos(polar)[:, None], SKY_SHAPE)], -1)


def sky(camera_azimuth_deg: float, zenith: float, horizon: float, boxes: list[Softbox]) -> Floats:
    """The light as an image (H, W, 3) of radiance; boxes are painted over one another with soft edges."""
    direction = _directions()
    image = horizon + (zenith - horizon) * np.clip(direction[..., 2], 0, 1)
    for box in boxes:
        a, e = np.radians(box.azimuth_deg + camera_azimuth_deg), np.radians(box.elevation_deg)
        towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        local = direction @ basis(towards, np.array([-np.sin(a), np.cos(a), 0.0]))
        ahead = np.maximum(local[..., 2], 1e-6)
        across = np.abs(local[..., 0] / ahead) / np.tan(np.radians(box.half_width_deg))
        along = np.abs(local[..., 1] / ahead) / np.tan(np.radians(box.half_height_deg))
        inside = np.clip((1 - np.maximum(across, along)) / box.soft, 0, 1) * (local[..., 2] > 1e-6)
        cover = inside * inside * (3 - 2 * inside)
        image = image + (box.radiance - image) * cover
    return np.repeat(image[..., None], 3, axis=-1)


def floor_radiance(image: Floats, albedo: Floats) -> Floats:
    """RGB radiance of an unshadowed matt floor under the sky: exposure is set from this, as by a light meter."""
    direction = _directions()
    area = np.sin((np.arange(SKY_SHAPE[0]) + 0.5) / SKY_SHAPE[0] * np.pi)[:, None] * 2 * np.pi**2 / np.prod(SKY_SHAPE)
    weight = np.clip(direction[..., 2], 0, None) * area / np.pi
    return np.asarray((image * weight[..., None]).sum((0, 1)) * albedo)


def region(material: str) -> str:
    """The name in `REGIONS` of a material: pearls, beads, enamel and thread are `other`."""
    return "metal" if material in METALS else "gem" if material in GEMS else "other"


def surface(material: str, ior_dir: Path, roughness: float, enamel: str) -> dict[str, Any]:
    """The Mitsuba BSDF of a material name; `roughness` is the metal's Beckmann alpha."""
    if material in METALS:
        metal = conductor(material, ior_dir)
        values = {key: {"type": "rgb", "value": list(value)} for key, value in (("eta", metal.eta), ("k", metal.k))}
        return {"type": "roughconductor", "distribution": "ggx", "alpha": roughness, **values}
    if material in GEMS:
        gem = GEMS[material]
        tint = {"type": "rgb", "value": list(gem.tint)}
        return {"type": "dielectric", "int_ior": gem.index, "ext_ior": 1.0, "specular_transmittance": tint}
    if material in PEARLS:  # nacre is a stack of thin layers: it mirrors more than its index of 1.66 alone would
        body = {"type": "rgb", "value": list(PEARLS[material])}
        return {
            "type": "roughplastic",
            "distribution": "ggx",
            "int_ior": 1.9,
            "alpha": 0.035,
            "diffuse_reflectance": body,
            "nonlinear": True,
        }
    colour = BEADS[material] if material in BEADS else ENAMEL_COLOURS[enamel]
    return {
        "type": "plastic",
        "int_ior": 1.52,
        "diffuse_reflectance": {"type": "rgb", "value": list(colour)},
        "nonlinear": True,
    }


def floor(albedo: Floats, glossy: bool, falloff: float, camera: Camera, reach_mm: float) -> dict[str, Any]:
    """A sheet of paper (or acrylic) at z = 0: darker towards the picture's corners by `falloff`, dark beyond it.

    The sheet ends just outside the picture, as on a real set. Without that every metal would mirror endless white and
    lose its edges.
    """
    centre = np.asarray(camera.target) * [1.0, 1.0, 0.0]
    size = 10 * reach_mm
    at = (np.arange(768) + 0.5) / 768 * 2 - 1
    x, y = np.meshgrid(at * size, at * size)
    points = centre + np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    ahead = (points - np.asarray(camera.origin)) @ camera.axes()[2]
    film = camera.project(points)
    outside = np.maximum(np.abs(film - 0.5).max(1) - 0.5, 0)
    outside[ahead < 1.0] = 9.0
    away = np.hypot(film[:, 0] - 0.5, film[:, 1] - 0.5) / 0.7
    edge = np.clip((outside - 0.08) / 0.5, 0, 1)
    shade = (1 - falloff * np.clip(away, 0, 1.2) ** 2) * (1 - 0.72 * edge * edge * (3 - 2 * edge))
    data = (shade.reshape(x.shape)[..., None] * albedo).astype(np.float32)
    texture = {"type": "bitmap", "data": data, "raw": True, "wrap_mode": "clamp"}
    bsdf: dict[str, Any] = {"type": "diffuse", "reflectance": texture}
    if glossy:
        bsdf = {
            "type": "roughplastic",
            "distribution": "ggx",
            "alpha": 0.03,
            "int_ior": 1.49,
            "diffuse_reflectance": texture,
        }
    return {
        "centre": (float(centre[0]), float(centre[1]), 0.0),
        "size": size,
        "bsdf": {"type": "twosided", "nested": bsdf},
    }
