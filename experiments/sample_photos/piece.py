"""A piece of jewellery: meshes with the name of what they are made of, and what the camera should frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mesh import Floats, Mesh, merged


@dataclass
class Piece:
    """Parts by material. `frame` is the point set (N, 3) the picture must hold; empty means all of it."""

    parts: list[tuple[str, Mesh]] = field(default_factory=list)
    frame: list[Floats] = field(default_factory=list)

    def add(self, material: str, *meshes: Mesh) -> None:
        """Add meshes of one material."""
        self.parts.extend((material, mesh) for mesh in meshes)

    def place(self, other: Piece, matrix: Floats, offset: Floats | tuple[float, float, float]) -> None:
        """Put another piece into this one, turned by a 3x3 matrix and shifted."""
        self.parts.extend((material, mesh.transformed(matrix, offset)) for material, mesh in other.parts)

    def transformed(self, matrix: Floats, offset: Floats | tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Piece:
        """A turned and shifted copy, its frame with it."""
        parts = [(material, mesh.transformed(matrix, offset)) for material, mesh in self.parts]
        return Piece(parts, [points @ matrix.T + np.asarray(offset) for points in self.frame])

    def on_floor(self, gap: float = 0.01) -> Piece:
        """Lowered until its lowest point is `gap` mm over z = 0."""
        lowest = min(mesh.vertices[:, 2].min() for _, mesh in self.parts)
        return self.transformed(np.eye(3), (0.0, 0.0, gap - lowest))

    def by_material(self) -> dict[tuple[str, float], Mesh]:
        """One mesh for each (material, crease angle): few shapes render faster than thousands of links."""
        groups: dict[tuple[str, float], list[Mesh]] = {}
        for material, mesh in self.parts:
            groups.setdefault((material, mesh.crease_deg), []).append(mesh)
        return {key: merged(group) for key, group in sorted(groups.items())}

    def points(self) -> Floats:
        """Every vertex, (N, 3) in mm."""
        return np.concatenate([mesh.vertices for _, mesh in self.parts])
