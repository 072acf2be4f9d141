"""Rings whose head is the subject: solitaire, halo, three stones, bezel, split shank, cluster and heart."""

from __future__ import annotations

import numpy as np
from bands import arc_tube, band, cross_section, narrowing, tapered
from mesh import Mesh, rotation, sphere, tube
from piece import Piece
from settings import bezel_set, cabochon, claw_set, halo_set, loose
from stones import outline

Rng = np.random.Generator


def _head(piece: Piece, head: Piece, height: float, turn_deg: float = 0.0) -> None:
    piece.place(head, rotation((0, 0, 1), turn_deg), (0.0, 0.0, height))


def _shank(
    rng: Rng, top: float, styles: tuple[str, ...] = ("court", "dome", "knife", "flat", "wire")
) -> tuple[Mesh, float, float]:
    """A plain tapering hoop, its inner radius and thickness."""
    radius, width, thick = rng.uniform(8.1, 8.9), rng.uniform(1.7, 2.6), rng.uniform(1.5, 1.9)
    style = str(rng.choice(styles))
    profile = tapered(cross_section(style, width, thick), narrowing(top), narrowing(1.0 + 0.15 * (1 - top)))
    return band(radius, profile), radius, thick


def _pave(piece: Piece, radius: float, angles_deg: np.ndarray, small: float, gem: str = "diamond") -> None:
    """Small stones down both shoulders, in pairs of beads."""
    for angle in np.concatenate([angles_deg, -angles_deg]):
        turn = rotation((0, 1, 0), float(angle))
        piece.place(loose(gem, "round", small), turn, turn @ np.array([0, 0, radius + 0.12]))
        for along in (-1.0, 1.0):
            for side in (-1.0, 1.0):
                bead = np.array([along * 0.78 * small, side * 0.74 * small, radius + 0.16])
                piece.add("metal", sphere(0.2, 10).moved(turn @ bead))


def solitaire(rng: Rng, gem: str, shape: str) -> Piece:
    size = rng.uniform(2.5, 3.6)
    hoop, radius, thick = _shank(rng, top=rng.uniform(0.55, 1.0))
    piece = Piece()
    piece.add("metal", hoop)
    height = radius + thick + rng.uniform(0.82, 1.0) * size
    _head(piece, claw_set(gem, shape, size, six=bool(rng.random() < 0.5)), height, float(rng.choice([0.0, 90.0])))
    if rng.random() < 0.55:  # cathedral shoulders
        for sign in (-1.0, 1.0):
            t = np.linspace(0, 1, 30)
            lift = 0.15 * thick + (height - radius - thick * 0.6 - 0.4) * t**2.2
            piece.add("metal", arc_tube(radius + 0.2 * thick, sign * 48, sign * 9, 0 * t, 0.62 - 0.12 * t, lift))
    return piece


def halo_ring(rng: Rng, gem: str, shape: str) -> Piece:
    size = rng.uniform(2.2, 3.1)
    hoop, radius, thick = _shank(rng, top=rng.uniform(0.7, 1.0), styles=("court", "flat", "dome"))
    piece = Piece()
    piece.add("metal", hoop)
    height = radius + thick + 0.95 * size
    _head(piece, halo_set(gem, shape, size, small=rng.uniform(0.5, 0.68)), height, float(rng.choice([0.0, 90.0])))
    if rng.random() < 0.7:
        _pave(piece, radius + thick * 1.02, np.arange(20, 72, 7.2), 0.62)
    return piece


def three_stone(rng: Rng, gem: str, shape: str) -> Piece:
    size = rng.uniform(2.2, 2.9)
    hoop, radius, thick = _shank(rng, top=0.9)
    piece = Piece()
    piece.add("metal", hoop)
    side_gem = "diamond" if rng.random() < 0.7 else gem
    height = radius + thick + 0.95 * size
    _head(piece, claw_set(gem, shape, size), height)
    reach = outline(shape)[:, 0].max() * size
    side_size = size * rng.uniform(0.62, 0.8)
    tilt = np.degrees((reach + side_size * 1.08) / height)
    for sign in (-1.0, 1.0):
        turn = rotation((0, 1, 0), sign * tilt)
        piece.place(claw_set(side_gem, "round", side_size), turn, turn @ np.array([0, 0, height - 0.15 * size]))
    return piece


def bezel_ring(rng: Rng, gem: str, shape: str) -> Piece:
    size = rng.uniform(2.4, 3.5)
    hoop, radius, thick = _shank(rng, top=0.9)
    piece = Piece()
    piece.add("metal", hoop)
    if rng.random() < 0.3:
        material = str(rng.choice(["pearl white", "pearl grey", "enamel"]))
        _head(piece, cabochon(material, size, size * 0.75), radius + thick + 0.6)
    else:
        shape = "round" if shape == "princess" else shape
        _head(
            piece,
            bezel_set(gem, shape, size, depth=0.8 * size),
            radius + thick + 0.62 * size,
            float(rng.choice([0.0, 90.0])),
        )
    return piece


def split_shank(rng: Rng, gem: str, shape: str) -> Piece:
    """Two wires that part towards the head, with stones on them or plain."""
    radius, size = rng.uniform(8.3, 9.0), rng.uniform(2.3, 3.0)
    t = np.linspace(-1, 1, 200)
    part = 0.55 + 1.7 * np.clip(1 - np.abs(t) * 1.35, 0, 1) ** 1.4
    piece = Piece()
    for sign in (-1.0, 1.0):
        piece.add("metal", arc_tube(radius, -180, 180, sign * part, 0.72 + 0 * t, 0.25 * (1 - np.abs(t))))
    head = halo_set(gem, shape, size) if rng.random() < 0.6 else claw_set(gem, shape, size)
    _head(piece, head, radius + 1.5 + 0.9 * size, float(rng.choice([0.0, 90.0])))
    return piece


def cluster(rng: Rng, gem: str, shape: str) -> Piece:
    """A flower: a centre stone and petals of round stones."""
    size, petal = rng.uniform(1.5, 1.9), rng.uniform(1.25, 1.6)
    hoop, radius, thick = _shank(rng, top=0.8)
    piece = Piece()
    piece.add("metal", hoop)
    height = radius + thick + 1.4
    n = int(np.floor(np.pi / np.arcsin(petal * 1.04 / (size + petal * 1.12))))
    _head(piece, claw_set(gem, "round", size), height + 0.35)
    for i in range(n):
        a = 2 * np.pi * i / n
        reach = size + petal * 1.15
        other = claw_set("diamond", "round", petal, wire=0.22)
        piece.place(other, rotation((0, 0, 1), np.degrees(a)), (reach * np.cos(a), reach * np.sin(a), height))
    piece.add("metal", sphere(1.2, 24).transformed(np.diag([2.2, 2.2, 1.0]), (0, 0, height - 1.9)))
    return piece


def hearts(rng: Rng, gem: str, shape: str) -> Piece:
    """An open heart of wire with a small stone, on a slim band."""
    radius, wire = rng.uniform(8.4, 9.0), rng.uniform(0.55, 0.75)
    piece = Piece()
    piece.add("metal", band(radius, cross_section("court", 1.9, 1.5)))
    t = np.linspace(0, 2 * np.pi, 140, endpoint=False)
    heart = (
        np.stack([16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)], 1)
        * 0.26
    )
    height = radius + 1.5 + wire * 0.6
    top = np.column_stack([heart[:, 1], heart[:, 0], height - heart[:, 1] ** 2 / (2.4 * radius)])
    piece.add("metal2" if rng.random() < 0.4 else "metal", tube(top, wire, closed=True, n=18))
    _head(piece, claw_set(gem, "round", 1.35, wire=0.22), height + 1.0)
    return piece
