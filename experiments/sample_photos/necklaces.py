"""Necklaces laid on the floor: the camera looks from -y, so +y is up in the picture.

As with rings, every builder draws its sizes from `rng`. `Piece.frame` says which stretch must be in the picture: chains
run out of it, as they do in a catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from chains import CHAINS, cable, graded, pearls, respaced, rondelle
from mesh import Floats, basis, frames, rotation, sphere, tube
from pendants import PENDANTS, pendant
from piece import Piece
from settings import bezel_set, claw_set

Rng = np.random.Generator
PEARL_COLOURS = ("pearl white", "pearl white", "pearl rose", "pearl gold", "pearl grey")


def drape(width: float, depth: float, rise: float = 3.0) -> Floats:
    """A hanging U, lowest at the origin: `width` mm across at height `depth`, drawn up to `rise` times that height."""
    y = np.concatenate([np.geomspace(rise * depth, 0.01, 260), [0.0], np.geomspace(0.01, rise * depth, 260)])
    x = width / 2 * (np.sqrt(1 - np.exp(-2.2 * y / depth)) * 0.94 + 0.06 * y / depth)
    x[:260] *= -1
    points = np.stack([x, y, np.zeros_like(y)], 1)
    smooth = respaced(points, 0.5)
    for _ in range(30):
        smooth[1:-1] = (smooth[:-2] + smooth[1:-1] + smooth[2:]) / 3
    return smooth - [0, smooth[:, 1].min(), 0]


def loop(radius: float, rng: Rng) -> Floats:
    """A closed ring that was laid down by hand: a few slow waves in its radius."""
    a = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    r = radius * (1 + sum(rng.uniform(-0.05, 0.05) * np.cos(k * a + rng.uniform(0, 6.3)) for k in (2, 3, 4)))
    return np.stack([r * np.cos(a), r * np.sin(a) * rng.uniform(0.85, 1.1), 0 * a], 1)


def hairpins(rng: Rng, gap: float, length: float) -> Floats:
    """A chain folded to and fro, running out of the picture on the right."""
    points = [np.array([[2.2 * length, 2.4 * gap]])]
    for row in range(2):
        y0, left = (1.0 - row) * gap * 1.9, -length * 0.35 + row * length * 0.30
        a = np.linspace(np.pi / 2, 3 * np.pi / 2, 40)
        r = gap * 0.5
        points.append(np.stack([left + r * np.cos(a), y0 + r * np.sin(a)], 1))
        points.append(np.array([[length * (0.9 if row == 0 else 2.2), y0 - gap * 0.5]]))
        if row == 0:
            b = np.linspace(np.pi / 2, -np.pi / 2, 40)
            points.append(
                np.stack([length * 0.9 + 0.45 * gap * np.cos(b), y0 - 0.95 * gap + 0.45 * gap * np.sin(b)], 1)
            )
    flat = np.concatenate(points)
    path = np.column_stack([flat, np.zeros(len(flat))]) @ rotation((0, 0, 1), rng.uniform(12, 32)).T
    smooth = respaced(path, 0.4)
    for _ in range(40):
        smooth[1:-1] = (smooth[:-2] + smooth[1:-1] + smooth[2:]) / 3
    return smooth


def _moved(path: Floats, up_picture: float, off_floor: float) -> Floats:
    return np.asarray(path + np.array([0.0, up_picture, off_floor]))


def _lifted(path: Floats, height: float) -> Floats:
    return _moved(path, 0.0, height)


def _box(x: float, low: float, high: float) -> Floats:
    return np.array([[-x, low, 0.0], [x, low, 0.0], [-x, high, 0.0], [x, high, 0.0]])


def _left_of(path: Floats, x: float) -> Floats:
    """The stretch of a path that the picture holds when the rest runs out of it on the right."""
    return np.asarray(path[path[:, 0] < x])


def pearl_strand(rng: Rng, gem: str, shape: str) -> Piece:
    piece, colour, size = Piece(), str(rng.choice(PEARL_COLOURS)), rng.uniform(3.0, 4.2)
    kind = rng.random()
    if kind < 0.45:  # a graduated strand hanging out of the picture
        width, depth = rng.uniform(62, 80), rng.uniform(55, 75)
        path = drape(width, depth, 1.7)
        low = rng.uniform(0.6, 1.0)
        piece = pearls(path, colour, lambda t: size * (low + (1 - low) * np.exp(-(((t - 0.5) / 0.22) ** 2))), rng)
        if rng.random() < 0.5:
            inner = _moved(drape(width * 0.78, depth * 0.86, 1.7), 11.0, 0.0)
            piece.place(pearls(inner, colour, lambda t: size * 0.85, rng), np.eye(3), (0, 0, 0))
        piece.frame = [_box(width * 0.5, -3, depth * 1.02)]
    elif kind < 0.75:
        radius = rng.uniform(32, 44)
        piece = pearls(loop(radius, rng), colour, lambda t: size * 0.85, rng, closed=True)
        clasp = bezel_set(gem, "round", 2.6, wall=0.6)
        piece.place(clasp, rotation((1, 0, 0), 25.0), _lifted(piece.parts[0][1].vertices.mean(0), 2.6))
        del piece.parts[0]
    else:
        path = hairpins(rng, 19.0, 44.0)
        piece = pearls(path, colour, lambda t: size, rng)
        piece.frame = [_left_of(path, 27.0)]
    return piece


def chain(rng: Rng, gem: str, shape: str) -> Piece:
    style = str(rng.choice(list(CHAINS)))
    gauge = rng.uniform(1.2, 2.0)
    if style in ("snake", "rope"):
        gauge *= 0.85
    kind = rng.random()
    if kind < 0.4:
        path = hairpins(rng, rng.uniform(13, 17), 40.0)
        piece = CHAINS[style](_lifted(path, gauge), gauge)
        piece.frame = [_left_of(path, 23.0)]
    elif kind < 0.7:
        width, depth = rng.uniform(44, 60), rng.uniform(45, 60)
        piece = CHAINS[style](_lifted(drape(width, depth, 1.8), gauge), gauge)
        piece.frame = [_box(width * 0.5, -3, depth)]
    else:
        piece = CHAINS[style](_lifted(loop(rng.uniform(30, 38), rng), gauge), gauge, closed=True)
    return piece


def pendant_necklace(rng: Rng, gem: str, shape: str, style: str) -> Piece:
    """A pendant of a given style on a fine chain."""
    gauge = rng.uniform(0.6, 0.95)
    path = drape(rng.uniform(30, 48), rng.uniform(30, 46), 2.4)
    link = str(
        rng.choice(
            ["cable", "rolo", "rope", "snake", "ball", "wheat", "figaro"], p=[0.34, 0.16, 0.14, 0.12, 0.08, 0.08, 0.08]
        )
    )
    hung = pendant(style, rng, gem, shape, loop=1.5 + gauge)
    tipped = hung.transformed(rotation((1, 0, 0), rng.uniform(4, 16)))
    piece = CHAINS[link](_lifted(path, gauge), gauge * (0.75 if link in ("rope", "snake") else 1.0))
    piece.place(tipped, np.eye(3), (0, 0, gauge))
    points = tipped.points()
    low, half = float(points[:, 1].min()), float(np.abs(points[:, 0]).max())
    height = -low * rng.uniform(0.5, 1.5)
    piece.frame = [points, _box(max(half, 0.35 * (height - low)), low, height)]
    return piece


def _along(path: Floats, pitch: float, closed: bool = False) -> list[tuple[Floats, Floats]]:
    """Places on a path: (point, frame), the frame's first column along it and its third up."""
    points = respaced(path, pitch, closed)
    tangent, _, _ = frames(points, closed)
    return [(p, basis(np.array([0.0, 0.0, 1.0]), t)) for p, t in zip(points, tangent, strict=True)]


def station(rng: Rng, gem: str, shape: str) -> Piece:
    """Bezels at intervals on a fine chain."""
    closed = rng.random() < 0.4
    path = _lifted(loop(rng.uniform(25, 32), rng) if closed else drape(46, 48, 1.8), 1.4)
    piece = cable(path, rng.uniform(0.6, 0.8), closed)
    size, second = rng.uniform(1.7, 2.5), gem if rng.random() < 0.5 else "diamond"
    shape = shape if shape in ("round", "oval", "marquise", "pear") else "round"
    for i, (p, frame) in enumerate(_along(path, rng.uniform(9, 14), closed)):
        piece.place(bezel_set(gem if i % 2 else second, shape, size, depth=0.6 * size), frame, _lifted(p, 0.3))
    if not closed:
        piece.frame = [_box(24, -4, 46)]
    return piece


def beads(rng: Rng, gem: str, shape: str) -> Piece:
    """Stone beads and ribbed metal beads by turns, in one to three rows."""
    material = str(rng.choice(["coral", "onyx", "jade", "lapis", "turquoise", "pearl white", "metal"]))
    every, ribs, rows = int(rng.integers(1, 5)), int(rng.choice([0, 12, 16])), int(rng.integers(1, 4))
    piece, size = Piece(), rng.uniform(2.4, 3.2) * (1.0 if rows == 1 else 0.75)
    for row in range(rows):
        path = _moved(drape(56 - 11 * row, 60 - 8 * row, 1.7), 9.5 * row, size)
        piece.add("metal", tube(respaced(path, 0.8), 0.25, closed=False, n=8))
        for i, (p, r, t) in enumerate(
            graded(path, lambda s: size * (0.75 + 0.25 * np.exp(-(((s - 0.5) / 0.25) ** 2))))
        ):
            if i % (every + 1) == 0 or material == "metal":
                turn = np.roll(basis(t, np.array([0.0, 0.0, 1.0])), 1, axis=1)
                piece.place(rondelle(r, r, ribs), turn, p)
            else:
                piece.add(material, sphere(r, 36).moved(p))
    piece.frame = [_box(29, -4, 56)]
    return piece


def tennis(rng: Rng, gem: str, shape: str) -> Piece:
    """A line of claw-set stones, each joined to the next."""
    size = rng.uniform(1.5, 2.1)
    shape = shape if shape in ("round", "princess", "emerald") else "round"
    second = gem if rng.random() < 0.6 else "diamond"
    kind = rng.random()
    path = (
        loop(rng.uniform(17, 23), rng)
        if kind < 0.35
        else (hairpins(rng, 13.0, 36.0) if kind < 0.65 else drape(44, 46, 1.7))
    )
    path, closed = _lifted(path, 1.1 * size), kind < 0.35
    piece = Piece()
    piece.add("metal", tube(respaced(_lifted(path, -0.7 * size), 0.5, closed), 0.35, closed=closed, n=10))
    for i, (p, frame) in enumerate(_along(path, 2.28 * size, closed)):
        turned = frame @ rotation((0, 0, 1), 90.0) if shape == "emerald" else frame
        piece.place(claw_set(gem if i % 2 else second, shape, size), turned, p)
    if not closed:
        piece.frame = [_left_of(path, 20.0) if kind < 0.65 else _box(23, -3, 42)]
    return piece


def layered(rng: Rng, gem: str, shape: str) -> Piece:
    """Two to four chains one inside the other, the lowest with a small pendant or drops."""
    piece, n, gauge = Piece(), int(rng.integers(2, 5)), rng.uniform(0.65, 0.9)
    for row in range(n):
        path = _moved(drape(54 - 8.5 * row, 54 - 6 * row, 1.8), 10.0 * row, gauge)
        name = str(rng.choice(["cable", "rolo", "rope", "ball", "figaro", "wheat"]))
        piece.place(CHAINS[name](path, gauge), np.eye(3), (0, 0, 0))
        if row == 0:
            style = str(rng.choice(["solitaire", "disc", "moon", "pearl drop", "teardrop"]))
            hung = pendant(style, rng, gem, shape, loop=1.5 + gauge).transformed(rotation((1, 0, 0), 8.0))
            piece.place(hung, np.eye(3), (0, 0, gauge))
            low = float(hung.points()[:, 1].min())
        elif rng.random() < 0.6:
            for p, frame in _along(path, 11.0):
                piece.place(bezel_set(gem, "round", 1.4, wall=0.25, depth=0.7), frame, _lifted(p, gauge))
    piece.frame = [_box(28, low, 48)]
    return piece


def lariat(rng: Rng, gem: str, shape: str) -> Piece:
    """A Y: chains that meet in a stone, and one or two that fall from it."""
    gauge = rng.uniform(0.65, 0.9)
    piece = cable(_lifted(drape(46, 44, 1.9), gauge), gauge)
    size = rng.uniform(2.4, 3.2)
    turn = rotation((0, 0, 1), 90.0)
    shape = "oval" if shape in ("princess", "emerald") else shape
    piece.place(bezel_set(gem, shape, size), turn, (0, -size, gauge + 0.5))
    n, fall = int(rng.integers(1, 3)), rng.uniform(16, 26)
    for i in range(n):
        x, length = (i - (n - 1) / 2) * 2.6, fall * (1 - 0.25 * i)
        start = -2 * size - 0.8
        path = np.array([[x * (0.4 + 0.6 * s), start - length * s, gauge] for s in np.linspace(0, 1, 60)])
        piece.place(cable(path, gauge), np.eye(3), (0, 0, 0))
        if rng.random() < 0.4:
            piece.add("pearl white", sphere(2.4, 40).moved((x, start - length - 1.7, 2.4)))
        else:
            piece.place(claw_set(gem, "pear", 2.9).transformed(turn), np.eye(3), (x, start - length - 2.6, gauge + 0.6))
    piece.frame = [_box(20, -2 * size - fall - 7, 22)]
    return piece


NECKLACES: dict[str, Callable[[Rng, str, str], Piece]] = {
    "pearl strand": pearl_strand, "chain": chain, "station": station, "beads": beads,
    "tennis": tennis, "layered": layered, "lariat": lariat,
    **{f"{style} pendant": partial(pendant_necklace, style=style) for style in PENDANTS},
}  # fmt: skip
