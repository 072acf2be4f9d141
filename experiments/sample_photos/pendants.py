"""Pendants: flat in the xy plane, face up (+z), hanging towards -y from a bail whose centre is the origin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mesh import Floats, circle, extruded, lathe, rotation, sphere, tube
from piece import Piece
from settings import bezel_set, cabochon, claw_set, halo, halo_set, loose, stone_size

Rng = np.random.Generator


def ring_wire(radius: float, wire: float, axis: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Piece:
    """A jump ring about `axis`."""
    path = np.column_stack([circle(radius, 40), np.zeros(40)])
    turn = rotation((0, 1, 0), 90.0) if axis[0] else (rotation((1, 0, 0), 90.0) if axis[1] else np.eye(3))
    piece = Piece()
    piece.add("metal", tube(path @ turn.T, wire, closed=True, n=10, up=axis))
    return piece


def _hang(body: Piece, top: float, loop: float) -> Piece:
    """Join a body whose uppermost point is y = `top` to a bail round the origin by a small ring."""
    piece = Piece()
    piece.place(ring_wire(loop, 0.34), np.eye(3), (0, -0.35 * loop, 0))
    joint = 0.75
    piece.place(ring_wire(joint, 0.26, (0.0, 0.0, 1.0)), np.eye(3), (0, -1.35 * loop - 0.55 * joint, 0))
    piece.place(body, np.eye(3), (0, -1.35 * loop - 1.45 * joint - top, 0))
    return piece


def _top(points: Floats) -> float:
    return float(points[:, 1].max())


def solitaire(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    size = rng.uniform(3.0, 4.6)
    body = (claw_set if rng.random() < 0.55 and shape != "princess" else bezel_set)(gem, shape, size)
    turn = 90.0 if shape in ("pear", "marquise", "oval", "emerald") else 45.0 if shape == "princess" else 0.0
    body = body.transformed(rotation((0, 0, 1), turn))
    return body, _top(body.points())


def halo_drop(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    body = halo_set(gem, shape, rng.uniform(2.8, 3.8), small=rng.uniform(0.6, 0.8))
    body = body.transformed(rotation((0, 0, 1), 90.0))
    return body, _top(body.points())


def _heart(scale: float, n: int = 140) -> Floats:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return (
        scale
        / 16
        * np.stack([16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)], 1)
    )


def heart(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """An open heart of wire or of small stones, or a full one with a stone."""
    path, body = _heart(rng.uniform(6.0, 8.0)), Piece()
    kind = rng.random()
    if kind < 0.4:
        body.add("metal", tube(np.column_stack([path, 0 * path[:, 0]]), 0.95, closed=True, n=20))
        body.place(claw_set(gem, "round", 1.9), np.eye(3), (0, -0.6, 0.4))
        body.place(ring_wire(0.6, 0.25, (0, 0, 1)), np.eye(3), (0, 1.4, 0))
    elif kind < 0.7:
        body.place(halo("diamond" if gem == "diamond" else gem, path, 0.78), np.eye(3), (0, 0, 0))
    else:
        body.add("metal", extruded(path[::-1], 1.6, 0.45))
        body.place(bezel_set(gem, "round", 1.6, depth=0.7), np.eye(3), (0, 0.8, 1.0))
    return body, float(path[0, 1]) + 0.9


def disc(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """A medal: a beaded rim round polished metal or enamel, and a stone, a star or a heart in the middle."""
    radius, body = rng.uniform(6.5, 8.5), Piece()
    body.add("metal", extruded(circle(radius, 96), 1.4, 0.3))
    n = int(np.pi * radius / 0.36)
    body.add("metal", *[sphere(0.36, 12).moved((x, y, 0.75)) for x, y in circle(radius - 0.55, n)])
    kind = rng.random()
    if kind < 0.45:
        body.add("enamel", extruded(circle(radius - 1.1, 96), 0.5, 0.12).moved((0, 0, 0.65)))
        a = np.arange(8) * np.pi / 4 + np.pi / 2
        star = np.stack([np.cos(a), np.sin(a)], 1) * np.where(np.arange(8) % 2 == 0, 0.62, 0.2)[:, None] * radius
        body.add("metal", extruded(star, 0.7, 0.1).moved((0, 0, 0.85)))
        body.place(bezel_set(gem, "round", 0.95, wall=0.22, depth=0.5), np.eye(3), (0, 0, 1.35))
    elif kind < 0.75:
        body.place(halo(gem, _heart(0.5 * radius), 0.55, z=1.1), np.eye(3), (0, -0.03 * radius, 0))
    else:
        rise = np.linspace(0, 1, 12)
        dome = np.stack([(radius - 0.95) * np.sqrt(1 - rise**2), 0.5 + 1.3 * rise], 1)
        body.add("metal", lathe(np.vstack([[[0.0, 0.4]], dome])))
        body.place(bezel_set(gem, "round", 2.0, depth=0.8), np.eye(3), (0, 0, 2.3))
    return body, radius


def cross(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    body, arm, w = Piece(), rng.uniform(5.0, 6.2), 1.15
    paved = rng.random() < 0.6
    bars = [((-w, -1.7 * arm), (w, arm)), ((-arm, -w), (arm, w))]
    for (x0, y0), (x1, y1) in bars:
        body.add("metal", extruded(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), 1.7, 0.28))
    if paved:
        step = 1.72
        spots = [(0.0, i * step) for i in range(-int(1.6 * arm / step), int(0.9 * arm / step) + 1)]
        spots += [(i * step, 0.0) for i in range(-int(0.9 * arm / step), int(0.9 * arm / step) + 1) if i]
        for x, y in spots:
            body.place(loose(gem, "round", 0.78), np.eye(3), (x, y, 0.98))
            beads = [(x + sx * 0.62, y + sy * 0.62, 1.0) for sx in (-1, 1) for sy in (-1, 1)]
            body.add("metal", *[sphere(0.2, 8).moved(p) for p in beads])
    else:
        body.place(bezel_set(gem, "round", 1.5, depth=0.6), np.eye(3), (0, 0, 1.2))
    return body, arm


def pearl_drop(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """A pearl under a small stone."""
    radius, body = rng.uniform(3.6, 5.0), Piece()
    pearl = str(rng.choice(["pearl white", "pearl rose", "pearl gold", "pearl grey"]))
    stretch = np.diag([1.0, rng.uniform(1.0, 1.35), 1.0])
    body.add(pearl, sphere(radius, 48).transformed(stretch))
    top = radius * stretch[1, 1]
    body.add("metal", sphere(0.42 * radius, 24).transformed(np.diag([1.0, 0.5, 1.0]), (0, top - 0.05, 0)))
    body.place(bezel_set(gem, "round", 1.7, depth=0.8), np.eye(3), (0, top + 2.1, 0.3))
    return body, top + 4.1


def flower(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    petal, n, body = rng.uniform(1.7, 2.2), int(rng.integers(5, 9)), Piece()
    reach = petal * 1.06 / np.sin(np.pi / n)
    other = "diamond" if rng.random() < 0.6 else gem
    for i in range(n):
        a = 2 * np.pi * i / n + np.pi / 2
        body.place(
            claw_set(other, "round", petal),
            rotation((0, 0, 1), np.degrees(a)),
            (reach * np.cos(a), reach * np.sin(a), 0),
        )
    body.place(claw_set(gem, "round", max(1.3, reach - petal * 1.08)), np.eye(3), (0, 0, 0.5))
    return body, reach + petal


def bar(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """An upright bar with a row of stones."""
    n, small, body = int(rng.integers(4, 8)), rng.uniform(1.0, 1.4), Piece()
    for i in range(n):
        body.place(
            claw_set(gem if i % 2 == 0 else "diamond", "round", small, wire=0.2),
            np.eye(3),
            (0, -(2 * i + 1) * small * 1.12, 0),
        )
    for side in (-1.0, 1.0):
        path = np.array([[side * 0.45 * small, y, -0.9 * small] for y in np.linspace(-2.24 * n * small, 0, 30)])
        body.add("metal", tube(path, 0.26, closed=False, n=8))
    return body, 0.0


def moon(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """A crescent, with a stone held in its bow."""
    radius, body = rng.uniform(5.5, 7.0), Piece()
    a = np.radians(np.linspace(-235, 55, 90))
    wire = 0.35 + 1.25 * np.sin(np.linspace(0, np.pi, 90)) ** 1.2
    path = np.stack([(radius - wire) * np.cos(a), (radius - wire) * np.sin(a), 0 * a], 1)
    body.add("metal", tube(path, wire, closed=False, n=22))
    body.place(claw_set(gem, "round", 1.9), np.eye(3), (0.1 * radius, 0.52 * radius, 0.3))
    return body, 0.95 * radius


def teardrop(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """A pear outline of wire with a swinging stone, or a full pear with a halo."""
    size, body = rng.uniform(5.0, 6.5), Piece()
    path = stone_size("pear", size) @ rotation((0, 0, 1), 90.0)[:2, :2].T
    if rng.random() < 0.5:
        body.add("metal", tube(np.column_stack([path, 0 * path[:, 0]]), 0.75, closed=True, n=16))
        swing = claw_set(gem, "pear", 0.42 * size).transformed(rotation((0, 0, 1), 90.0))
        body.place(swing, np.eye(3), (0, -0.1 * size, 0.2))
        hook = np.stack([np.zeros(12), np.linspace(0.36, 1.12, 12) * size, np.full(12, 0.2)], 1)
        body.add("metal", tube(hook, 0.24, closed=False, n=8))
    else:
        body.place(halo("diamond", path, 0.75), np.eye(3), (0, 0, 0))
        body.place(
            claw_set(gem, "pear", 0.66 * size).transformed(rotation((0, 0, 1), 90.0)), np.eye(3), (0, -0.04 * size, 0.2)
        )
    return body, 1.15 * size + 0.7


def eye(rng: Rng, gem: str, shape: str) -> tuple[Piece, float]:
    """The amulet: rings of enamel round a stone, or a smooth dome."""
    radius, body = rng.uniform(4.5, 6.0), Piece()
    if rng.random() < 0.5:
        body = cabochon("enamel", radius, 0.45 * radius, 1.0)
        return body, radius + 0.4
    body.add("metal", extruded(circle(radius, 96), 1.5, 0.3))
    body.add("enamel", extruded(circle(radius - 0.7, 96), 0.6, 0.12).moved((0, 0, 0.7)))
    body.place(halo("diamond", circle(0.56 * radius, 60), 0.55, z=1.3), np.eye(3), (0, 0, 0))
    body.place(bezel_set(gem, "round", 0.3 * radius, wall=0.25, depth=0.6), np.eye(3), (0, 0, 1.35))
    return body, radius


PENDANTS: dict[str, Callable[[Rng, str, str], tuple[Piece, float]]] = {
    "solitaire": solitaire, "halo": halo_drop, "heart": heart, "disc": disc, "cross": cross, "pearl drop": pearl_drop,
    "flower": flower, "bar": bar, "moon": moon, "teardrop": teardrop, "eye": eye,
}  # fmt: skip


def pendant(style: str, rng: Rng, gem: str, shape: str, loop: float) -> Piece:
    """A pendant on its bail; `loop` is the bail's radius in mm."""
    body, top = PENDANTS[style](rng, gem, shape)
    return _hang(body, top, loop)
