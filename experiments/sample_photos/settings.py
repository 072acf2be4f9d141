"""What holds a stone: prongs, bezels, baskets, halos and pave. A stone that floats is the first thing an eye notices.

Every function returns a Piece with the stone's girdle in the plane z = 0, table up, centre on the z axis.
"""

from __future__ import annotations

import numpy as np
from mesh import Floats, circle, lathe, sphere, sweep, tube
from piece import Piece
from stones import cut, outline

PRONG_ANGLES = {
    "round": (45.0, 135.0, 225.0, 315.0),
    "six": (0.0, 60.0, 120.0, 180.0, 240.0, 300.0),
    "oval": (40.0, 140.0, 220.0, 320.0),
    "cushion": (45.0, 135.0, 225.0, 315.0),
    "princess": (45.0, 135.0, 225.0, 315.0),
    "emerald": (36.0, 144.0, 216.0, 324.0),
    "pear": (0.0, 115.0, 180.0, 245.0),
    "marquise": (0.0, 70.0, 110.0, 180.0, 250.0, 290.0),
}


def stone_size(shape: str, radius: float) -> Floats:
    """Outline in mm (72, 2) of a stone whose cut has half-width `radius`."""
    return outline(shape) * radius


def loose(gem: str, shape: str, radius: float) -> Piece:
    piece = Piece()
    piece.add(gem, cut(shape).transformed(np.eye(3) * radius))
    return piece


def _at_angle(shape: str, radius: float, angle_deg: float) -> Floats:
    points = stone_size(shape, radius)
    return points[round(angle_deg / 360 * len(points)) % len(points)]


def prong(edge: Floats, radius: float, wire: float, depth: float) -> Piece:
    """One claw: from the foot below the stone, outside the girdle, bent over the crown with a rounded tip."""
    reach = float(np.linalg.norm(edge))
    out = edge / reach
    stations = [(0.50 * reach, -depth), (0.86 * reach, -0.45 * depth), (reach + 0.55 * wire, -0.12 * radius)]
    stations += [(reach + 0.5 * wire, 0.10 * radius), (reach - 0.10 * radius, 0.25 * radius)]
    knots = np.array([[out[0] * r, out[1] * r, z] for r, z in stations])
    at = np.linspace(0, len(knots) - 1, 22)
    path = np.stack([np.interp(at, np.arange(len(knots)), knots[:, i]) for i in range(3)], 1)
    path[1:-1] = (path[:-2] + 2 * path[1:-1] + path[2:]) / 4
    piece = Piece()
    side = (-out[1], out[0], 0.0)
    piece.add("metal", tube(path, wire * np.linspace(0.95, 1.0, len(path)), closed=False, n=10, up=side))
    piece.add("metal", sphere(wire * 1.12, 14).moved(path[-1]))
    return piece


def rail(points: Floats, z: float, wire: float) -> Piece:
    """A thin wire following an outline: the gallery of a basket."""
    piece = Piece()
    piece.add("metal", tube(np.column_stack([points, np.full(len(points), z)]), wire, closed=True, n=8))
    return piece


def claw_set(gem: str, shape: str, radius: float, six: bool = False, wire: float | None = None) -> Piece:
    """A stone in a basket: four to six claws and two gallery rails."""
    wire = wire if wire is not None else 0.10 * radius + 0.12
    depth = 1.05 * radius
    piece = loose(gem, shape, radius)
    angles = PRONG_ANGLES["six" if six and shape == "round" else shape]
    for angle in angles:
        piece.place(prong(_at_angle(shape, radius, angle), radius, wire, depth), np.eye(3), (0, 0, 0))
    for share, z in ((0.88, -0.42 * depth), (0.56, -0.95 * depth)):
        piece.place(rail(stone_size(shape, radius) * share, z, 0.72 * wire), np.eye(3), (0, 0, 0))
    return piece


def bezel_set(gem: str, shape: str, radius: float, wall: float = 0.32, depth: float | None = None) -> Piece:
    """A stone in a closed rim whose lip leans over the girdle."""
    depth = depth if depth is not None else 0.95 * radius
    piece = loose(gem, shape, radius)
    points = stone_size(shape, radius)
    path = np.column_stack([points, np.zeros(len(points))])
    profile = np.array(
        [
            [0.03, -depth],
            [0.03, 0.0],
            [0.12, 0.16 * radius],
            [-0.06, 0.16 * radius + 0.02],
            [-wall, 0.02],
            [-wall, -depth],
        ]
    )
    piece.add("metal", sweep(path, profile, closed=True, crease_deg=30.0))
    return piece


def halo(gem: str, path: Floats, radius: float, z: float = 0.0) -> Piece:
    """Small brilliants along a closed outline (N, 2), each held by beads, on a plate with two beaded edges."""
    closed = np.vstack([path, path[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    n_stones = max(8, int(length[-1] / (2.16 * radius)))
    at = np.arange(n_stones) / n_stones * length[-1]
    centre = np.stack([np.interp(at, length, closed[:, i]) for i in range(2)], 1)
    between = np.stack([np.interp((at + 0.5 * length[-1] / n_stones), length, closed[:, i]) for i in range(2)], 1)
    piece = Piece()
    for x, y in centre:
        piece.place(loose(gem, "round", radius), np.eye(3), (x, y, z))
    outward = between / np.linalg.norm(between, axis=1, keepdims=True)
    for x, y in np.vstack([between + 0.62 * radius * outward, between - 0.62 * radius * outward]):
        piece.add("metal", sphere(0.24 * radius, 10).moved((x, y, z + 0.10 * radius)))
    ring = np.column_stack([path, np.full(len(path), z)])
    w, low = 1.12 * radius, -0.9 * radius
    trough = np.array(
        [[-w, 0.02], [-0.93 * radius, 0.05], [-0.80 * radius, -0.80 * radius], [0.8 * radius, -0.80 * radius]]
    )
    trough = np.vstack([trough, [[0.93 * radius, 0.05], [w, 0.02], [w, low], [-w, low]]])
    piece.add("metal", sweep(ring, trough, closed=True, crease_deg=30.0))
    return piece


def halo_set(gem: str, shape: str, radius: float, small: float = 0.62, small_gem: str = "diamond") -> Piece:
    """A centre stone with a halo of small stones around it."""
    piece = claw_set(gem, shape, radius)
    points = stone_size(shape, radius)
    away = points + points / np.linalg.norm(points, axis=1, keepdims=True) * (1.25 * small + 0.12)
    piece.place(halo(small_gem, away, small, z=-0.12 * radius), np.eye(3), (0, 0, 0))
    return piece


def cabochon(material: str, radius: float, height: float, stretch: float = 1.0) -> Piece:
    """A smooth dome in a rim."""
    angle = np.linspace(0, np.pi / 2, 16)
    dome = np.vstack([[[0.0, -0.3]], np.stack([radius * np.cos(angle), height * np.sin(angle)], 1)])
    dome[-1, 0] = 0.0
    piece = Piece()
    scale = np.diag([stretch, 1.0, 1.0])
    piece.add(material, lathe(dome).transformed(scale))
    rim = np.column_stack([circle(radius + 0.12, 72), np.full(72, 0.0)])
    piece.add("metal", tube(rim, 0.24, closed=True, n=12).transformed(scale))
    base = np.array([[0.0, -0.7], [radius + 0.1, -0.7], [radius + 0.2, 0.0], [0.0, 0.0]])
    piece.add("metal", lathe(base).transformed(scale))
    return piece
