"""The hoop of a ring: cross-sections and how they change on the way round.

A band lies about the y axis, its top at +z. Cross-sections are (across, outwards) in mm; the inner wall is at 0.
"""

from __future__ import annotations

import numpy as np
from mesh import Floats, Mesh, circle, grid, sphere, tube

N_AROUND = 256


def around(n: int = N_AROUND) -> Floats:
    """Angles in radians from the top of the ring, (n,)."""
    return np.linspace(-np.pi, np.pi, n, endpoint=False)


def band(inner_radius: float, profile: Floats, crease_deg: float = 32.0) -> Mesh:
    """Sweep a cross-section (P, 2) or one per angle (N, P, 2) round the finger."""
    angle = around(len(profile) if profile.ndim == 3 else N_AROUND)
    profile = np.broadcast_to(profile, (len(angle), *profile.shape[-2:]))
    radius = inner_radius + profile[..., 1]
    points = np.stack([radius * np.sin(angle)[:, None], profile[..., 0], radius * np.cos(angle)[:, None]], -1)
    return grid(points, rows_closed=True, columns_closed=True, crease_deg=crease_deg)


def cross_section(style: str, width: float, thickness: float) -> Floats:
    """A closed outline (P, 2): `court`, `dome`, `flat`, `knife`, `groove`, `step`, `concave` or `wire`."""
    w, h = width / 2, thickness
    if style == "wire":
        return circle(1.0, 28) * [w, h / 2] + [0.0, h / 2]
    inside = [[-0.9 * w, 0.08 * h], [-0.5 * w, 0.0], [0.5 * w, 0.0], [0.9 * w, 0.08 * h]]
    arc = np.linspace(0, np.pi, 17)
    tops: dict[str, list[list[float]]] = {
        "court": [[w * np.cos(a) * 1.0, h * (0.42 + 0.58 * np.sin(a))] for a in arc],
        "dome": [[w * np.cos(a), h * (0.2 + 0.8 * np.sin(a))] for a in arc],
        "flat": [[w, 0.15 * h], [w, h - 0.14], [w - 0.14, h], [-w + 0.14, h], [-w, h - 0.14], [-w, 0.15 * h]],
        "knife": [[w, 0.2 * h], [w, 0.5 * h], [0.08, h], [-0.08, h], [-w, 0.5 * h], [-w, 0.2 * h]],
        "concave": [[w, 0.15 * h], [w, h]]
        + [[0.94 * w * np.cos(a), h - 0.42 * h * np.sin(a)] for a in arc]
        + [[-w, h], [-w, 0.15 * h]],
        "step": [
            [w, 0.1 * h],
            [w, 0.62 * h],
            [0.68 * w, 0.66 * h],
            [0.62 * w, h],
            [-0.62 * w, h],
            [-0.68 * w, 0.66 * h],
            [-w, 0.62 * h],
            [-w, 0.1 * h],
        ],
        "groove": [
            [w, 0.15 * h],
            [w, h - 0.12],
            [w - 0.12, h],
            [0.46 * w, h],
            [0.40 * w, 0.72 * h],
            [0.30 * w, 0.72 * h],
            [0.24 * w, h],
            [-0.24 * w, h],
            [-0.30 * w, 0.72 * h],
            [-0.40 * w, 0.72 * h],
            [-0.46 * w, h],
            [-w + 0.12, h],
            [-w, h - 0.12],
            [-w, 0.15 * h],
        ],
    }
    return np.array(inside + tops[style])


def tapered(profile: Floats, across: Floats, outwards: Floats) -> Floats:
    """Scale one cross-section along the band; the two factors are (N,) arrays over `around()`."""
    return profile[None] * np.stack([across, outwards], -1)[:, None]


def narrowing(top: float, spread_deg: float = 60.0) -> Floats:
    """A factor over `around()` that goes smoothly from 1 at the back to `top` at the head."""
    return 1.0 + (top - 1.0) * np.exp(-((np.degrees(around()) / spread_deg) ** 2))


def hammered(
    inner_radius: float, profile: Floats, rng: np.random.Generator, depth: float = 0.09, n_dents: int = 300
) -> Mesh:
    """A band with round dents in its outer face, as planishing leaves."""
    n, steps = 420, 44
    dense = _resampled(profile, steps * 2)
    mesh = band(inner_radius, np.broadcast_to(dense, (n, *dense.shape)), crease_deg=60.0)
    points = mesh.vertices.reshape(n, -1, 3)
    angle, across, radius = around(n)[:, None], points[..., 1], np.hypot(points[..., 0], points[..., 2])
    dip = np.zeros_like(radius)
    half = np.abs(across).max()
    dents = rng.uniform([-np.pi, -half, 0.45], [np.pi, half, 0.95], (n_dents, 3))
    for a, u, size in dents:
        along = (np.angle(np.exp(1j * (angle - a)))) * inner_radius
        dip = np.maximum(dip, depth * np.maximum(0.0, 1 - (along**2 + (across - u) ** 2) / size**2))
    outer = np.clip((radius - inner_radius) / (0.7 * np.ptp(profile[:, 1])) - 0.2, 0.0, 1.0)
    shift = 1 - dip * outer / radius
    return Mesh((points * np.stack([shift, np.ones_like(shift), shift], -1)).reshape(-1, 3), mesh.faces, 60.0)


def _resampled(closed: Floats, n: int) -> Floats:
    loop = np.vstack([closed, closed[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(loop, axis=0), axis=1))])
    at = np.linspace(0, length[-1], n, endpoint=False)
    return np.stack([np.interp(at, length, loop[:, i]) for i in range(2)], 1)


def milgrain(radius: float, across: float, bead: float = 0.17) -> list[Mesh]:
    """A row of tiny beads round the band at `radius`."""
    n = int(2 * np.pi * radius / (2.05 * bead))
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return [sphere(bead, 10).moved((radius * np.sin(a), across, radius * np.cos(a))) for a in angle]


def strands(inner_radius: float, n_strands: int, wire: float, turns: int, spread: float) -> list[Mesh]:
    """Wires that wind about the band's middle line: twisted and rope bands."""
    angle = around(480)
    meshes = []
    for strand in range(n_strands):
        phase = turns * angle + 2 * np.pi * strand / n_strands
        radius = inner_radius + wire + spread * (1 + np.sin(phase))
        path = np.stack([radius * np.sin(angle), 1.25 * spread * np.cos(phase), radius * np.cos(angle)], 1)
        meshes.append(tube(path, wire, closed=True, n=16, up=(0.0, 1.0, 0.0)))
    return meshes


def arc_tube(
    inner_radius: float, start_deg: float, end_deg: float, sideways: Floats, wire: Floats, lift: Floats | float = 0.0
) -> Mesh:
    """An open wire along part of the hoop; `sideways` (y), `wire` radius and `lift` are arrays along it, in mm."""
    angle = np.radians(np.linspace(start_deg, end_deg, len(sideways)))
    radius = inner_radius + wire + lift
    path = np.stack([radius * np.sin(angle), sideways, radius * np.cos(angle)], 1)
    return tube(path, wire, closed=False, n=18, up=(0.0, 1.0, 0.0))
