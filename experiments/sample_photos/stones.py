"""Gem cuts as convex polyhedra: each facet is a half-space, so a stone is closed and its facets are flat.

All cuts have a girdle of radius 1 (half-width 1 for square cuts) in the plane z = 0, table up, and are scaled later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from mesh import Floats, Mesh, rotation
from scipy.spatial import ConvexHull, HalfspaceIntersection


@dataclass(frozen=True)
class Gem:
    """Refractive index at 589 nm (Anderson & Payne, Gem Testing) and the share of light (RGB) let through a surface."""

    index: float
    tint: tuple[float, float, float]


GEMS: dict[str, Gem] = {
    "diamond": Gem(2.417, (1.0, 1.0, 1.0)),
    "ruby": Gem(1.766, (0.86, 0.07, 0.17)),
    "sapphire": Gem(1.766, (0.10, 0.19, 0.74)),
    "emerald": Gem(1.580, (0.09, 0.66, 0.36)),
    "aquamarine": Gem(1.577, (0.72, 0.93, 0.97)),
    "amethyst": Gem(1.550, (0.56, 0.28, 0.76)),
    "topaz": Gem(1.620, (0.55, 0.84, 0.97)),
    "citrine": Gem(1.550, (0.97, 0.74, 0.26)),
    "garnet": Gem(1.760, (0.68, 0.06, 0.08)),
    "morganite": Gem(1.585, (0.98, 0.80, 0.78)),
    "peridot": Gem(1.670, (0.70, 0.90, 0.32)),
}

GIRDLE = 0.025  # half-height of the girdle, in girdle radii


def polyhedron(planes: Floats) -> Mesh:
    """The bounded intersection of half-spaces n.x <= d; rows are (nx, ny, nz, d) and the origin is strictly inside."""
    corners = HalfspaceIntersection(np.column_stack([planes[:, :3], -planes[:, 3]]), np.zeros(3)).intersections
    hull = ConvexHull(corners)
    faces = hull.simplices.copy()
    a, b, c = (hull.points[faces[:, i]] for i in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(hull.points, faces.astype(np.int64), crease_deg=0.0)


def _facet(azimuth_deg: float, slope_deg: float, distance: float, height: float) -> Floats:
    """The plane through (distance along the azimuth, height), falling outwards at `slope_deg` (negative: pavilion)."""
    azimuth, slope = np.radians(azimuth_deg), np.radians(abs(slope_deg))
    normal = np.array([np.sin(slope) * np.cos(azimuth), np.sin(slope) * np.sin(azimuth), np.cos(slope)])
    if slope_deg < 0:
        normal[2] *= -1
    return np.array([*normal, np.sin(slope) * distance + normal[2] * height])


def _round_support(_azimuth_deg: float) -> float:
    return 1.0


def _cushion_support(azimuth_deg: float) -> float:
    """A rounded square: the dual norm of |x|^p + |y|^p = 1 with p = 3.2, scaled to half-width 1."""
    a = np.radians(azimuth_deg)
    return float((abs(np.cos(a)) ** 1.4545 + abs(np.sin(a)) ** 1.4545) ** (1 / 1.4545))


def _marquise_support(azimuth_deg: float) -> float:
    """Two circular arcs meeting in points at x = +-1; length to width about 1.9."""
    a = np.radians(azimuth_deg)
    radius, shift = 1.22, 0.70
    tip = abs(np.cos(a))
    arc = radius - shift * abs(np.sin(a))
    return float(tip if abs(np.sin(a)) < shift / radius else arc)


def _pear_support(azimuth_deg: float) -> float:
    """A disc of radius 0.66 about x = -0.34 joined to a point at x = 1.15."""
    a = np.radians(azimuth_deg)
    return float(max(0.66 - 0.34 * np.cos(a), 1.15 * np.cos(a)))


def brilliant(support: Callable[[float], float] = _round_support) -> Mesh:
    """57 facets and a girdle: table 56 %, crown 34.5 degrees, pavilion 40.75 degrees (Tolkowsky 1919, rounded).

    Other outlines keep the facet pattern; each facet's slope is steepened where the outline is nearer to the axis.
    """
    crown_height = GIRDLE + 0.44 * np.tan(np.radians(34.5))
    planes = [np.array([0.0, 0.0, 1.0, crown_height])]

    def add(azimuth: float, slope: float, distance: float, height: float) -> None:
        reach = support(azimuth)
        steep = np.degrees(np.arctan(np.tan(np.radians(slope)) / reach))
        planes.append(_facet(azimuth, steep, distance * reach, height))

    half = float(np.cos(np.radians(11.25)))
    for main in np.arange(8) * 45.0:
        add(main, 34.5, 1.0, GIRDLE)
        add(main, -40.75, 1.0, -GIRDLE)
        add(main + 22.5, 21.5, 0.56 * np.cos(np.radians(22.5)), crown_height)
        for offset in (-11.25, 11.25):
            add(main + offset, 40.8, half, GIRDLE)
            add(main + offset, -41.9, half, -GIRDLE)
    for azimuth in np.arange(96) * 3.75:
        planes.append(np.array([np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth)), 0.0, support(azimuth)]))
    return polyhedron(np.array(planes))


def princess() -> Mesh:
    """A square cut: two crown steps, and chevron facets that fan out from the pavilion's corner ribs."""
    top = GIRDLE + 0.26
    planes = [np.array([0.0, 0.0, 1.0, top])]
    for side in np.arange(4) * 90.0:
        planes.append(_facet(side, 46.0, 1.0, GIRDLE))
        planes.append(_facet(side, 28.0, 0.70, top))
        planes.append(_facet(side, -66.0, 1.0, -GIRDLE))
        for turn, depth in ((14.0, 1.02), (27.0, 1.12), (38.0, 1.24)):
            for sign in (-1.0, 1.0):
                azimuth = side + sign * turn
                reach = np.cos(np.radians(turn)) + np.sin(np.radians(turn))  # to the square's corner
                slope = np.degrees(np.arctan2(depth, reach))
                planes.append(_facet(azimuth, -slope, reach, -GIRDLE))
        planes.append(np.array([np.cos(np.radians(side)), np.sin(np.radians(side)), 0.0, 1.0]))
        planes.append(_facet(side + 45.0, 36.0, 1.36, GIRDLE))
        planes.append(np.array([np.cos(np.radians(side + 45)), np.sin(np.radians(side + 45)), 0.0, 1.385]))
    return polyhedron(np.array(planes))


def step_cut(length: float = 1.38) -> Mesh:
    """An emerald cut: cropped corners, three steps in the crown and three in the pavilion, keel along x."""
    top = GIRDLE + 0.30
    planes = [np.array([0.0, 0.0, 1.0, top])]
    for azimuth in np.arange(8) * 45.0:
        corner = azimuth % 90 != 0
        reach = (length + 1.0) / np.sqrt(2) - 0.30 if corner else (length if azimuth % 180 == 0 else 1.0)
        planes.append(np.array([np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth)), 0.0, reach]))
        inset, height = 0.0, GIRDLE
        for slope, rise in ((48.0, 0.10), (40.0, 0.11), (30.0, 0.09)):
            planes.append(_facet(azimuth, slope, reach - inset, height))
            inset, height = inset + rise / np.tan(np.radians(slope)), height + rise
        inset, depth = 0.0, -GIRDLE
        for slope, drop in ((56.0, 0.30), (46.0, 0.28), (38.0, 9.0)):
            planes.append(_facet(azimuth, -slope, reach - inset, depth))
            inset, depth = inset + drop / np.tan(np.radians(slope)), depth - drop
    return polyhedron(np.array(planes))


_CUTS: dict[str, tuple[Callable[[], Mesh], Callable[[float], float]]] = {
    "round": (brilliant, _round_support),
    "oval": (brilliant, _round_support),
    "cushion": (lambda: brilliant(_cushion_support), _cushion_support),
    "pear": (lambda: brilliant(_pear_support), _pear_support),
    "marquise": (lambda: brilliant(_marquise_support), _marquise_support),
    "princess": (princess, lambda a: abs(np.cos(np.radians(a))) + abs(np.sin(np.radians(a)))),
    "emerald": (step_cut, _round_support),
}
CUTS = tuple(_CUTS)


@cache
def cut(name: str) -> Mesh:
    """A stone of radius 1 by name; oval is a stretched round (1.35 : 1)."""
    mesh = _CUTS[name][0]()
    return mesh.transformed(np.diag([1.35, 1.0, 1.0])) if name == "oval" else mesh


@cache
def outline(name: str, n: int = 72) -> Floats:
    """The girdle seen from above, (n, 2), counter-clockwise: what a bezel or a halo follows."""
    mesh = cut(name)
    hull = mesh.vertices[ConvexHull(mesh.vertices[:, :2]).vertices][:, :2]
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    ray = np.stack([np.cos(angle), np.sin(angle)], 1)
    edge = np.roll(hull, -1, 0) - hull
    normal = np.stack([edge[:, 1], -edge[:, 0]], 1)
    reach = np.einsum("ij,ij->i", normal, hull) / np.maximum(ray @ normal.T, 1e-9)
    reach[ray @ normal.T <= 1e-9] = np.inf
    return ray * reach.min(1)[:, None]


def turned(mesh: Mesh, angle_deg: float) -> Mesh:
    return mesh.transformed(rotation((0, 0, 1), angle_deg))
