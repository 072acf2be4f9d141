"""Triangle meshes in numpy (mm, z up): every shape is made by a formula and must be testable without a renderer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Mesh:
    """Vertices (N, 3) in mm and faces (M, 3), counter-clockwise from outside. `crease_deg` 0 means flat facets."""

    vertices: Floats
    faces: Ints
    crease_deg: float = 40.0

    def moved(self, offset: Sequence[float] | Floats) -> Mesh:
        """Shifted by `offset` mm."""
        return Mesh(self.vertices + np.asarray(offset, float), self.faces, self.crease_deg)

    def transformed(self, matrix: Floats, offset: Sequence[float] | Floats = (0.0, 0.0, 0.0)) -> Mesh:
        """Apply a 3x3 matrix, then a shift; a mirroring matrix flips the faces so that they still point outwards."""
        faces = self.faces[:, ::-1] if np.linalg.det(matrix) < 0 else self.faces
        return Mesh(self.vertices @ matrix.T + np.asarray(offset, float), faces, self.crease_deg)


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of many; the crease angle is the first one's, so merge only meshes of one kind."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    vertices = np.concatenate([m.vertices for m in meshes])
    faces = np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)])
    return Mesh(vertices, faces, meshes[0].crease_deg)


def rotation(axis: Sequence[float], angle_deg: float) -> Floats:
    """Rodrigues' rotation matrix, right-handed about `axis`."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(angle_deg)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def basis(z_axis: Floats, x_hint: Floats) -> Floats:
    """A right-handed frame as matrix columns: third column along `z_axis`, first as near `x_hint` as it can be."""
    z = z_axis / np.linalg.norm(z_axis)
    x = x_hint - z * (x_hint @ z)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _grid_faces(n_rows: int, n_columns: int, rows_closed: bool, columns_closed: bool) -> Ints:
    rows = np.arange(n_rows if rows_closed else n_rows - 1)
    columns = np.arange(n_columns if columns_closed else n_columns - 1)
    r, c = (g.ravel() for g in np.meshgrid(rows, columns, indexing="ij"))
    r1, c1 = (r + 1) % n_rows, (c + 1) % n_columns
    a, b, d, e = r * n_columns + c, r * n_columns + c1, r1 * n_columns + c, r1 * n_columns + c1
    return np.concatenate([np.stack([a, d, e], 1), np.stack([a, e, b], 1)])


def grid(points: Floats, rows_closed: bool, columns_closed: bool, crease_deg: float = 40.0) -> Mesh:
    """A surface through points (R, C, 3), oriented outwards by the sign of its volume; open row ends get a fan cap."""
    n_rows, n_columns, _ = points.shape
    vertices = points.reshape(-1, 3)
    faces = _grid_faces(n_rows, n_columns, rows_closed, columns_closed)
    if columns_closed and not rows_closed:
        ring = np.arange(n_columns)
        after = (ring + 1) % n_columns
        first, last = len(vertices), len(vertices) + 1
        vertices = np.concatenate([vertices, [points[0].mean(0), points[-1].mean(0)]])
        tail = (n_rows - 1) * n_columns
        caps = [
            np.stack([np.full_like(ring, first), ring, after], 1),
            np.stack([np.full_like(ring, last), tail + after, tail + ring], 1),
        ]
        faces = np.concatenate([faces, *caps])
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    if np.einsum("ij,ij->", a, np.cross(b, c)) < 0:
        faces = faces[:, ::-1]
    return Mesh(vertices, faces, crease_deg)


def frames(path: Floats, closed: bool, up: Sequence[float] | Floats = (0.0, 0.0, 1.0)) -> tuple[Floats, Floats, Floats]:
    """Tangent, side and up vectors (N, 3) along a path, held to a fixed `up` so that flat chains do not twist."""
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(np.broadcast_to(np.asarray(up, float), tangent.shape), tangent)
    weak = np.linalg.norm(side, axis=1) < 1e-6
    side[weak] = np.cross([0.0, 1.0, 0.0], tangent[weak])
    side = side / np.linalg.norm(side, axis=1, keepdims=True)
    return tangent, side, np.cross(tangent, side)


def sweep(
    path: Floats,
    profile: Floats,
    closed: bool,
    up: Sequence[float] | Floats = (0.0, 0.0, 1.0),
    crease_deg: float = 40.0,
) -> Mesh:
    """Carry a closed profile along a path. `profile` is (P, 2) or (N, P, 2), as (side, up) offsets in mm."""
    _, side, lift = frames(path, closed, up)
    profile = np.broadcast_to(profile, (len(path), *profile.shape[-2:]))
    points = path[:, None] + profile[..., :1] * side[:, None] + profile[..., 1:] * lift[:, None]
    return grid(points, rows_closed=closed, columns_closed=True, crease_deg=crease_deg)


def circle(radius: float, n: int) -> Floats:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def tube(
    path: Floats, radius: float | Floats, closed: bool, n: int = 14, up: Sequence[float] = (0.0, 0.0, 1.0)
) -> Mesh:
    """A round wire; `radius` in mm, one number or one per path point."""
    scale = np.broadcast_to(np.asarray(radius, float), (len(path),))
    return sweep(path, circle(1.0, n)[None] * scale[:, None, None], closed, up)


def lathe(profile: Floats, n: int = 64, crease_deg: float = 40.0) -> Mesh:
    """Turn an open profile (P, 2) of (radius, z) about the z axis; close it by starting and ending at radius 0."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    r, z = np.maximum(profile[:, 0], 1e-5), profile[:, 1]
    points = np.stack(
        [r[:, None] * np.cos(angle), r[:, None] * np.sin(angle), np.broadcast_to(z[:, None], (len(r), n))], -1
    )
    return grid(points, rows_closed=False, columns_closed=True, crease_deg=crease_deg)


def sphere(radius: float, n: int = 40) -> Mesh:
    polar = np.linspace(0, np.pi, n // 2 + 1)
    return lathe(radius * np.stack([np.sin(polar), -np.cos(polar)], 1), n)


def extruded(outline: Floats, thickness: float, bevel: float = 0.12) -> Mesh:
    """A bevelled plate of a star-shaped outline (P, 2), centred at z = 0."""
    centre = outline.mean(0)
    inner = centre + (outline - centre) * (1 - bevel / np.linalg.norm(outline - centre, axis=1, keepdims=True))
    half = thickness / 2
    rings = [(inner, -half), (outline, -half + bevel), (outline, half - bevel), (inner, half)]
    points = np.stack([np.column_stack([ring, np.full(len(ring), z)]) for ring, z in rings])
    return grid(points, rows_closed=False, columns_closed=True, crease_deg=25.0)


def shaded(mesh: Mesh) -> tuple[Floats, Floats, Ints]:
    """Vertices, normals and faces with corners split where neighbouring faces meet at more than the crease angle."""
    corners = mesh.vertices[mesh.faces]  # (M, 3, 3)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(area, axis=1)
    keep = size > 1e-12
    faces, area, unit = mesh.faces[keep], area[keep], area[keep] / size[keep, None]
    flat = faces.ravel()
    order = np.argsort(flat, kind="stable")
    count = np.bincount(flat, minlength=len(mesh.vertices))
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    own = np.repeat(np.arange(len(faces)), 3)
    total = np.zeros((len(flat), 3))
    limit = np.cos(np.radians(max(mesh.crease_deg, 0.5)))
    for step in range(int(count.max(initial=0)) if mesh.crease_deg > 0 else 0):
        there = step < count[flat]
        neighbour = own[order[start[flat[there]] + step]]
        near = np.einsum("ij,ij->i", unit[own[there]], unit[neighbour]) > limit
        total[there] += area[neighbour] * near[:, None]
    if mesh.crease_deg <= 0:
        total = unit[own]
    normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)
    return mesh.vertices[flat], normals, np.arange(len(flat)).reshape(-1, 3)


def write_ply(mesh: Mesh, file: Path) -> None:
    """Binary PLY with normals, the one format that every Mitsuba variant reads."""
    vertices, normals, faces = shaded(mesh)
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        + "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
        + f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), dtype=[("n", "u1"), ("index", "<i4", 3)])
    rows["n"], rows["index"] = 3, faces
    file.write_bytes(header.encode() + np.hstack([vertices, normals]).astype("<f4").tobytes() + rows.tobytes())
