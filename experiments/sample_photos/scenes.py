"""From one seed to a list of scenes: what is photographed, in which metal and stones, on which ground, by which camera.

A scene is drawn from (seed, stream, number) alone, so the photo set never changes when scenes are added, and the
"training" stream shares no scene with the "photos" stream.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from mesh import Floats, rotation
from metals import METALS
from necklaces import NECKLACES
from piece import Piece
from rings import FANCY, RINGS
from stones import GEMS
from studio import BACKGROUNDS, ENAMEL_COLOURS, Camera, Softbox, framed, from_above, lighting

METAL_ODDS = (0.38, 0.08, 0.17, 0.10, 0.18, 0.09)  # in the order of METALS
GEM_ODDS = {"diamond": 0.46, "ruby": 0.11, "sapphire": 0.12, "emerald": 0.11}
RING_ODDS = {
    "band": 5, "solitaire": 8, "halo": 5, "three-stone": 4, "eternity": 4, "signet": 4, "twisted": 3, "two-tone": 3,
    "bypass": 3, "bezel": 3, "split shank": 3, "cluster": 3, "heart": 2,
}  # fmt: skip
NECKLACE_ODDS = {
    "pearl strand": 5, "chain": 8, "station": 4, "beads": 4, "tennis": 3, "layered": 4, "lariat": 3,
    "solitaire pendant": 3, "halo pendant": 3, "heart pendant": 2.5, "disc pendant": 1.5, "cross pendant": 1,
    "pearl drop pendant": 1.5, "flower pendant": 1.5, "bar pendant": 1, "moon pendant": 1, "teardrop pendant": 1.5,
    "eye pendant": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Everything a renderer needs; `words` is what the manifest says about it."""

    name: str
    words: dict[str, Any]
    piece: Piece
    camera: Camera
    sky: tuple[float, float, float, list[Softbox]]  # camera azimuth, zenith, horizon, boxes
    floor_albedo: Floats
    floor_falloff: float
    glossy_floor: bool
    roughness: float
    enamel: str

    def digest(self) -> str:
        """A hash of what would be rendered, geometry included."""
        state = hashlib.sha256()
        for (material, crease), mesh in self.piece.by_material().items():
            state.update(f"{material} {crease}".encode())
            state.update(np.round(mesh.vertices, 5).astype("<f4").tobytes() + mesh.faces.astype("<i4").tobytes())
        rest = (
            self.camera,
            self.sky,
            self.floor_albedo.tolist(),
            self.floor_falloff,
            self.glossy_floor,
            self.roughness,
            self.enamel,
        )
        state.update(repr(rest).encode())
        return state.hexdigest()


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator that depends on its key alone (SHA-256), not on order, platform or process."""
    digest = hashlib.sha256(json.dumps([seed, *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _weighted(rng: np.random.Generator, odds: dict[str, float]) -> str:
    weights = np.array(list(odds.values()), float)
    return str(rng.choice(list(odds), p=weights / weights.sum()))


def styles(kind: str, n: int) -> list[str]:
    """`n` styles in the proportions of the odds, spread evenly, so that a set of 48 holds every style."""
    odds = RING_ODDS if kind == "ring" else NECKLACE_ODDS
    credit, order = dict.fromkeys(odds, 0.0), []
    for _ in range(n):
        for style in odds:
            credit[style] += odds[style] / sum(odds.values())
        best = max(credit, key=lambda s: credit[s])
        credit[best] -= 1
        order.append(best)
    return order


def _pose_ring(piece: Piece, rng: np.random.Generator) -> tuple[Piece, float, float, str]:
    """Stand, lean or lay the ring; returns it with the camera's azimuth and elevation (degrees)."""
    pose = str(rng.choice(["stand", "lean", "lie"], p=[0.25, 0.60, 0.15]))
    if pose == "stand":
        return (
            piece.transformed(rotation((0, 1, 0), rng.uniform(-14, 14))).on_floor(),
            rng.uniform(32, 62),
            rng.uniform(24, 38),
            pose,
        )
    if pose == "lean":  # tipped back from the camera and rolled, as catalogue pictures show rings
        roll, tip = rotation((0, 1, 0), rng.uniform(-8, 34)), rotation((1, 0, 0), -rng.uniform(12, 36))
        return piece.transformed(tip @ roll).on_floor(), rng.uniform(38, 66), rng.uniform(20, 36), pose
    roll, tip = rotation((0, 1, 0), rng.uniform(-25, 25)), rotation((1, 0, 0), -rng.uniform(62, 78))
    return piece.transformed(tip @ roll).on_floor(), rng.uniform(60, 120), rng.uniform(28, 48), pose


def draw_scene(seed: int, stream: str, kind: str, number: int, style: str) -> Scene:
    """Scene `number` (from 1) of a stream; `kind` is ring or necklace."""
    rng = generator(seed, stream, kind, number)
    metal = str(rng.choice(METALS, p=METAL_ODDS))
    light = ("white gold", "platinum", "silver")
    metal2 = str(rng.choice(["yellow gold 18k", "rose gold 14k"] if metal in light else light))
    rest = [g for g in GEMS if g not in GEM_ODDS]
    gem = _weighted(rng, GEM_ODDS | {g: 0.20 / len(rest) for g in rest})
    shape = str(rng.choice(FANCY, p=(0.34, 0.16, 0.11, 0.12, 0.12, 0.09, 0.06)))
    enamel = str(rng.choice(list(ENAMEL_COLOURS)))
    finish = str(rng.choice(["polished", "satin"], p=[0.9, 0.1]))
    roughness = float(rng.uniform(0.008, 0.03) if finish == "polished" else rng.uniform(0.14, 0.2))
    background = str(rng.choice(list(BACKGROUNDS), p=[0.56, 0.12] + [0.32 / 7] * 7))
    light_name, zenith, horizon, boxes = lighting(rng)
    builder = (RINGS if kind == "ring" else NECKLACES)[style]
    if kind == "ring":
        piece, azimuth, elevation, pose = _pose_ring(builder(rng, gem, shape), rng)
        fov, f_number, fill = (
            float(rng.uniform(14, 24)),
            float(rng.choice([0, 16, 11, 8])),
            float(rng.uniform(0.76, 0.9)),
        )
    else:
        piece = builder(rng, gem, shape).on_floor()
        pose = "flat lay"
        azimuth, elevation = (
            float(rng.uniform(-12, 12)) - 90.0,
            float(rng.choice([rng.uniform(62, 86), rng.uniform(36, 56)])),
        )
        fov, f_number, fill = (
            float(rng.uniform(16, 28)),
            float(rng.choice([0, 16, 11, 8])),
            float(rng.uniform(0.86, 1.0)),
        )
        boxes = from_above(boxes, elevation, rng)
        zenith, horizon = 0.6 * zenith, 0.6 * horizon  # thin wires need darker surroundings than bands do
    names = {"metal": metal, "metal2": metal2}
    piece = Piece([(names.get(material, material), mesh) for material, mesh in piece.parts], piece.frame)
    held = np.concatenate(piece.frame) if piece.frame else piece.points()
    camera = framed(held, azimuth, elevation, fov, fill, f_number, _focus(piece, held))
    used = sorted({material for material, _ in piece.parts})
    stones = [m for m in used if m not in METALS]
    words = {
        "kind": kind,
        "style": style,
        "metal": [m for m in used if m in METALS],
        "finish": finish,
        "stones": [f"{s} ({enamel})" if s == "enamel" else s for s in stones],
        "cut": shape if any(s in GEMS for s in stones) else None,
        "background": background,
        "light": light_name,
        "pose": pose,
        "camera": {
            "azimuth_deg": round(azimuth, 1), "elevation_deg": round(elevation, 1), "fov_deg": round(fov, 1),
            "f_number": f_number or None, "aperture_mm": round(camera.aperture_mm, 3),
            "focus_mm": round(camera.focus_distance, 1),
        },
    }  # fmt: skip
    falloff = float(rng.uniform(0.0, 0.05) if background == "white" else rng.uniform(0.0, 0.22))
    sky = (azimuth, zenith, horizon, boxes)
    albedo, glossy = np.array(BACKGROUNDS[background]), bool(rng.random() < 0.35)
    return Scene(f"{kind}_{number:03d}", words, piece, camera, sky, albedo, falloff, glossy, roughness, enamel)


def _focus(piece: Piece, held: Floats) -> Floats:
    """Focus on the biggest stone where there is one, else on the middle."""
    gems = [mesh for material, mesh in piece.parts if material in GEMS]
    if not gems:
        return np.asarray(held.mean(0))
    return np.asarray(max(gems, key=lambda mesh: float(np.ptp(mesh.vertices, axis=0).max())).vertices.mean(0))


def scene_list(seed: int, stream: str, n_rings: int, n_necklaces: int) -> list[tuple[str, int, str]]:
    """(kind, number, style) of every scene; drawing one scene needs no other."""
    pairs = [("ring", n_rings), ("necklace", n_necklaces)]
    return [(kind, i + 1, style) for kind, n in pairs for i, style in enumerate(styles(kind, n))]
