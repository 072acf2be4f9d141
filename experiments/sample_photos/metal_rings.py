"""Rings whose metal is the subject: bands, two-tone, eternity, signet, twisted and bypass rings."""

from __future__ import annotations

import numpy as np
from bands import arc_tube, around, band, cross_section, hammered, milgrain, strands, tapered
from mesh import extruded, rotation, sphere, tube
from piece import Piece
from settings import bezel_set, claw_set, halo, loose

Rng = np.random.Generator


def plain_band(rng: Rng, gem: str, shape: str) -> Piece:
    style = str(rng.choice(["court", "dome", "flat", "groove", "step", "concave", "knife"]))
    radius, width, thick = rng.uniform(8.4, 9.6), rng.uniform(3.0, 6.5), rng.uniform(1.5, 2.1)
    profile = cross_section(style, width, thick)
    piece = Piece()
    finish = rng.random()
    if finish < 0.3 and style in ("court", "dome", "flat"):
        piece.add("metal", hammered(radius, profile, rng))
    else:
        piece.add("metal", band(radius, profile))
    if finish > 0.65 and style in ("flat", "court"):
        edge = width / 2 - 0.25
        for side in (-edge, edge):
            piece.add("metal", *milgrain(radius + thick * (0.98 if style == "flat" else 0.72), side))
    if finish > 0.4 and style in ("flat", "groove"):
        top = radius + thick
        for along in rng.uniform(-12, 12, 1) if finish < 0.7 else (-14.0, 0.0, 14.0):
            stone = bezel_set(gem, "round", 0.72, wall=0.2, depth=0.6)
            turn = rotation((0, 1, 0), along)
            piece.place(stone, turn, turn @ np.array([0.0, 0.0, top + 0.02]))
    return piece


def two_tone(rng: Rng, gem: str, shape: str) -> Piece:
    """A band in one metal with rails or an inlay of another."""
    radius, width, thick = rng.uniform(8.6, 9.6), rng.uniform(4.2, 6.5), rng.uniform(1.6, 2.0)
    piece = Piece()
    piece.add("metal", band(radius, cross_section("flat", width, thick)))
    inlay = cross_section(str(rng.choice(["dome", "flat", "court"])), width * rng.uniform(0.3, 0.5), thick * 0.55)
    piece.add("metal2", band(radius + thick * 0.62, inlay))
    if rng.random() < 0.6:
        for side in (-0.42 * width, 0.42 * width):
            piece.add("metal2", *milgrain(radius + thick, side, 0.2))
    return piece


def eternity(rng: Rng, gem: str, shape: str) -> Piece:
    """Stones all round, or over the upper half, in shared claws between two rails."""
    radius, size = rng.uniform(8.6, 9.4), rng.uniform(1.05, 1.6)
    shape = shape if shape in ("round", "princess") else "round"
    n = int(2 * np.pi * (radius + 1.2) / (2.1 * size))
    shown = np.arange(n) if rng.random() < 0.5 else np.arange(-int(n * 0.27), int(n * 0.27) + 1)
    second = gem if rng.random() < 0.6 else "diamond"
    piece = Piece()
    girdle = radius + 1.35
    piece.add("metal", band(radius, cross_section("flat", 2.0 * size, 0.55)))
    for side in (-1.0, 1.0):
        profile = np.add(cross_section("flat", 0.42, 1.35), [side * 0.98 * size, 0.0])
        piece.add("metal", band(radius, profile))
    for i in shown:
        turn = rotation((0, 1, 0), 360.0 * i / n)
        piece.place(loose(gem if i % 2 else second, shape, size), turn, turn @ np.array([0, 0, girdle]))
    for i in np.append(shown, shown[-1] + 1):
        turn = rotation((0, 1, 0), 360.0 * (i - 0.5) / n)
        for side in (-1.0, 1.0):
            piece.add("metal", sphere(0.30, 12).moved(turn @ np.array([0, side * 0.62 * size, girdle + 0.22])))
    if len(shown) < n:
        back = tapered(
            cross_section("court", 2.1 * size, 1.6), np.ones(256), np.where(np.abs(around()) > 1.75, 1.0, 0.3)
        )
        piece.add("metal", band(radius, back))
    return piece


def signet(rng: Rng, gem: str, shape: str) -> Piece:
    """A band that swells into a flat face: plain, enamelled, or with a stone."""
    radius = rng.uniform(8.6, 9.4)
    swell = np.exp(-((np.degrees(around()) / 36.0) ** 2))
    profile = tapered(cross_section("dome", 4.4, 1.7), 1 + 1.15 * swell, 1 + 0.75 * swell)
    piece = Piece()
    piece.add("metal", band(radius, profile))
    power = rng.choice([2.0, 3.2, 8.0])
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    reach = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    face = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None] * [rng.uniform(4.6, 5.4), rng.uniform(4.4, 5.6)]
    top = radius + 1.7 * 1.75
    piece.add("metal", extruded(face, 1.5, 0.22).moved((0, 0, top - 0.25)))
    kind = rng.random()
    if kind < 0.40:
        piece.add("enamel", extruded(face * 0.80, 0.3, 0.1).moved((0, 0, top + 0.45)))
        if kind < 0.2:
            piece.place(bezel_set("diamond", "round", 1.0, wall=0.25, depth=0.5), np.eye(3), (0, 0, top + 0.75))
    elif kind < 0.75:
        rim = np.column_stack([face * 0.84, np.full(len(face), top + 0.5)])
        piece.add("metal", tube(rim, 0.16, closed=True, n=8))
        piece.place(bezel_set(gem, "round", 1.5, wall=0.3, depth=0.7), np.eye(3), (0, 0, top + 0.75))
    else:
        piece.place(halo("diamond", face * 0.80, 0.55, z=top + 0.62), np.eye(3), (0, 0, 0))
    return piece


def twisted(rng: Rng, gem: str, shape: str) -> Piece:
    radius = rng.uniform(8.5, 9.3)
    n = int(rng.integers(2, 4))
    piece = Piece()
    for i, wire in enumerate(strands(radius, n, rng.uniform(0.62, 0.9), int(rng.integers(5, 12)), 0.6)):
        piece.add("metal2" if i == 1 and rng.random() < 0.5 else "metal", wire)
    if rng.random() < 0.4:
        size = rng.uniform(2.0, 2.8)
        head = bezel_set(gem, "round" if shape == "princess" else shape, size)
        piece.place(head, np.eye(3), (0, 0, radius + 2.2 + 0.6 * size))
    return piece


def bypass(rng: Rng, gem: str, shape: str) -> Piece:
    """Two ends that pass each other and hold a stone, or a row of small ones, between them."""
    radius, size = rng.uniform(8.3, 9.0), rng.uniform(2.0, 2.7)
    t = np.linspace(0, 1, 150)
    end = 2.0 * np.clip(np.abs(t - 0.5) * 2 - 0.55, 0, 1) ** 1.5 * 3.2
    wire = 1.0 - 0.15 * t
    wire[-12:] *= np.linspace(1.0, 0.3, 12)
    piece = Piece()
    for sign in (-1.0, 1.0):
        piece.add(
            "metal",
            arc_tube(radius, 180 - sign * 10, 180 + sign * (180 + 26), sign * (end * (t > 0.5)), wire, 0.9 * t**6),
        )
    if rng.random() < 0.5:
        piece.place(claw_set(gem, "round", size * 0.9), np.eye(3), (0, 0, radius + 1.2 + 0.9 * size))
    else:
        for i in range(-2, 3):
            turn = rotation((0, 1, 0), i * 13.0)
            s = 1.25 - 0.16 * abs(i)
            piece.place(claw_set(gem, "round", s, wire=0.2), turn, turn @ np.array([0, 0.35 * i, radius + 1.0 + s]))
    return piece
