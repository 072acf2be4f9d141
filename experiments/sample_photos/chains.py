"""Chains whose links really interlock, strands of pearls and beads, laid along a path on the floor (z up, mm)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mesh import Floats, frames, lathe, rotation, sphere, tube
from piece import Piece

Rng = np.random.Generator


def respaced(path: Floats, pitch: float, closed: bool = False) -> Floats:
    """The path (N, 3) at equal steps of about `pitch` mm; a closed one is divided without a remainder."""
    line = np.vstack([path, path[:1]]) if closed else path
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    n = max(3, round(length[-1] / pitch))
    at = np.arange(n) / n * length[-1] if closed else np.arange(n) * pitch
    return np.stack([np.interp(at, length, line[:, i]) for i in range(3)], 1)


def link(half_length: float, half_width: float, wire: float, square: float = 2.0) -> Piece:
    """One link in the xy plane, along x: an oval, or with `square` above 2 a rounded rectangle."""
    a = np.linspace(0, 2 * np.pi, 44, endpoint=False)
    c, s = np.cos(a), np.sin(a)
    x, y = np.sign(c) * np.abs(c) ** (2 / square), np.sign(s) * np.abs(s) ** (2 / square)
    piece = Piece()
    piece.add("metal", tube(np.stack([half_length * x, half_width * y, 0 * a], 1), wire, closed=True, n=10))
    return piece


def _linked(
    path: Floats,
    closed: bool,
    sizes: list[tuple[float, float, float, float]],
    roll_deg: tuple[float, float],
    tip_deg: float = 0.0,
    overlap: float = 1.0,
) -> Piece:
    """Links of the given (half length, half width, wire, squareness) in turn, rolled by one angle and the other.

    Neighbours are so far apart that the wire of one lies inside the bend of the next: half lengths minus one wire each.
    """
    fine = respaced(path, 0.25, closed)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    tangent, side, up = frames(fine, closed)
    shapes = [link(*size) for size in sizes]
    piece, at, number = Piece(), 0.0, 0
    while at < length[-1] - sizes[0][0]:
        i = int(np.searchsorted(length, at))
        frame = np.stack([tangent[i], side[i], up[i]], 1)
        turn = frame @ rotation((1, 0, 0), roll_deg[number % 2]) @ rotation((0, 1, 0), tip_deg)
        piece.place(shapes[number % len(shapes)], turn, fine[i])
        this, following = sizes[number % len(sizes)], sizes[(number + 1) % len(sizes)]
        at += (this[0] - this[2] + following[0] - following[2]) * overlap + 0.12 * this[2]
        number += 1
    return piece


def cable(path: Floats, gauge: float, closed: bool = False) -> Piece:
    return _linked(path, closed, [(1.35 * gauge, 0.95 * gauge, 0.27 * gauge, 2.0)], (45.0, -45.0))


def rolo(path: Floats, gauge: float, closed: bool = False) -> Piece:
    return _linked(path, closed, [(1.1 * gauge, 1.1 * gauge, 0.34 * gauge, 2.0)], (45.0, -45.0))


def paperclip(path: Floats, gauge: float, closed: bool = False) -> Piece:
    return _linked(path, closed, [(3.6 * gauge, 1.15 * gauge, 0.30 * gauge, 4.0)], (30.0, -60.0))


def figaro(path: Floats, gauge: float, closed: bool = False) -> Piece:
    small, long = (1.15 * gauge, 0.95 * gauge, 0.27 * gauge, 2.0), (2.6 * gauge, 1.05 * gauge, 0.29 * gauge, 2.6)
    return _linked(path, closed, [long, small, small, small], (28.0, -52.0))


def curb(path: Floats, gauge: float, closed: bool = False) -> Piece:
    """Close-set links all turned the same way, so that the chain lies flat."""
    return _linked(
        path, closed, [(1.45 * gauge, 1.25 * gauge, 0.36 * gauge, 2.3)], (24.0, 24.0), tip_deg=-24.0, overlap=0.62
    )


def _wound(path: Floats, closed: bool, offsets: Callable[[Floats], list[Floats]], wire: float) -> Piece:
    """Wires that follow the path at (side, up) offsets given as functions of the way along it in mm."""
    fine = respaced(path, 0.22, closed)
    way = np.arange(len(fine)) * float(np.linalg.norm(fine[1] - fine[0]))
    _, side, up = frames(fine, closed)
    piece = Piece()
    for offset in offsets(way):
        piece.add("metal", tube(fine + offset[:, :1] * side + offset[:, 1:] * up, wire, closed=closed, n=10))
    return piece


def rope(path: Floats, gauge: float, closed: bool = False) -> Piece:
    """Three strands wound tightly, with ridges: reads as a rope chain."""

    def offsets(way: Floats) -> list[Floats]:
        phase = way * 2 * np.pi / (4.2 * gauge)
        return [
            0.62 * gauge * np.stack([np.cos(phase + k), np.sin(phase + k)], 1) for k in np.arange(3) * 2 * np.pi / 3
        ]

    return _wound(path, closed, offsets, 0.50 * gauge)


def wheat(path: Floats, gauge: float, closed: bool = False) -> Piece:
    """A flat plait of four wires."""

    def offsets(way: Floats) -> list[Floats]:
        phase = way * 2 * np.pi / (5.2 * gauge)
        return [
            np.stack([1.25 * gauge * np.sin(phase + k), 0.42 * gauge * np.sin(2 * (phase + k))], 1)
            for k in np.arange(4) * np.pi / 2
        ]

    return _wound(path, closed, offsets, 0.36 * gauge)


def snake(path: Floats, gauge: float, closed: bool = False) -> Piece:
    """A smooth round chain of narrow rings."""
    fine = respaced(path, 0.11 * gauge, closed)
    radius = gauge * (1 - 0.13 * np.abs(np.cos(np.arange(len(fine)) * np.pi / 8)) ** 6)
    piece = Piece()
    piece.add("metal", tube(fine, radius, closed=closed, n=22))
    return piece


def balls(path: Floats, gauge: float, closed: bool = False) -> Piece:
    """A bead chain: small balls on a wire."""
    piece = Piece()
    piece.add("metal", tube(respaced(path, 0.5, closed), 0.22 * gauge, closed=closed, n=8))
    piece.add("metal", *[sphere(0.8 * gauge, 18).moved(p) for p in respaced(path, 1.95 * gauge, closed)])
    return piece


CHAINS: dict[str, Callable[..., Piece]] = {
    "cable": cable, "rolo": rolo, "paperclip": paperclip, "figaro": figaro, "curb": curb, "rope": rope, "wheat": wheat,
    "snake": snake, "ball": balls,
}  # fmt: skip


def graded(path: Floats, radii: Callable[[float], float], closed: bool = False) -> list[tuple[Floats, float, Floats]]:
    """Touching beads along a path: (centre, radius, tangent) each, the radius given for the share 0..1 of the way."""
    fine = respaced(path, 0.1, closed)
    length = np.arange(len(fine)) * float(np.linalg.norm(fine[1] - fine[0]))
    tangent, _, _ = frames(fine, closed)
    beads, at = [], 0.0
    while at < length[-1]:
        i = int(np.searchsorted(length, at))
        radius = radii(at / length[-1])
        beads.append((fine[i], radius, tangent[i]))
        at += radius + radii(min(1.0, (at + 2 * radius) / length[-1])) + 0.12
    if closed and len(beads) > 3 and np.linalg.norm(beads[-1][0] - beads[0][0]) < beads[-1][1] + beads[0][1]:
        beads.pop()
    return beads


def pearls(path: Floats, material: str, radii: Callable[[float], float], rng: Rng, closed: bool = False) -> Piece:
    """Pearls, each a little out of round, lying on the floor, with a knot of silk between neighbours."""
    piece = Piece()
    thread = []
    for contact, radius, _ in graded(path, radii, closed):
        centre = contact + np.array([0.0, 0.0, radius])
        squash = np.diag(1 + rng.normal(0, 0.012, 3))
        piece.add(material, sphere(radius, 44).transformed(rotation((0, 0, 1), rng.uniform(0, 360)) @ squash, centre))
        thread.append(centre)
    piece.add("pearl white", tube(respaced(np.array(thread), 0.6, closed), 0.28, closed=closed, n=8))
    return piece


def rondelle(radius: float, thickness: float, n_ribs: int = 0) -> Piece:
    """A flattened metal bead about the x axis, plain or ribbed."""
    a = np.linspace(0, np.pi, 17)
    mesh = lathe(np.stack([radius * np.sin(a) ** 0.6, -thickness * np.cos(a)], 1), 96)
    if n_ribs:
        angle = np.arctan2(mesh.vertices[:, 1], mesh.vertices[:, 0])
        grow = 1 - 0.10 * np.abs(np.cos(angle * n_ribs / 2)) ** 3
        mesh = type(mesh)(mesh.vertices * np.stack([grow, grow, np.ones_like(grow)], 1), mesh.faces, mesh.crease_deg)
    piece = Piece()
    piece.add("metal", mesh.transformed(rotation((0, 1, 0), 90.0)))
    return piece
