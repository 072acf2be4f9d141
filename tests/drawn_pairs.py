"""Drawn photos, and stage directories of them as the earlier jobs would leave them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jewelenh.config import Pairs, Split
from jewelenh.images import Photo, encode_png
from jewelenh.manifest import Item, StoredFile, sha256_of
from jewelenh.pairs.contract import PairsManifest
from jewelenh.pairs.writer import write_pairs
from jewelenh.stage import Selection

SIDE = 48


def drawn_photo(number: int, side: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """A gold ring and a stone on white, another for every number; (H, W, 3) RGB uint8."""
    rng = np.random.default_rng(number)
    height, width = side
    canvas = np.full((height, width, 3), 250, np.uint8)
    for _ in range(5):
        where = (int(rng.integers(4, width - 4)), int(rng.integers(4, height - 4)))
        colour = (int(rng.integers(150, 240)), int(rng.integers(90, 170)), int(rng.integers(0, 80)))
        axes = (int(rng.integers(4, width // 3)), int(rng.integers(4, height // 3)))
        cv2.ellipse(canvas, where, axes, float(rng.integers(0, 180)), 0, 360, colour, int(rng.integers(2, 5)))
    return canvas


def blurred(pixels: np.ndarray, sigma_px: float = 1.0) -> np.ndarray:
    return cv2.GaussianBlur(pixels, (0, 0), sigma_px)


class Upstream:
    """Stage directories `raw`, `inputs` and `targets`, filled by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.items: dict[str, list[Item]] = {"raw": [], "inputs": [], "targets": []}

    def put(
        self,
        kind: str,
        stem: str,
        pixels: np.ndarray,
        record: Mapping[str, Any] | None = None,
        alpha: np.ndarray | None = None,
    ) -> None:
        data = encode_png(Photo(pixels, alpha))
        path = self.root / kind / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        stored = StoredFile(f"{stem}.png", sha256_of(data), len(data))
        self.items[kind] = [item for item in self.items[kind] if item.stem != stem]
        self.items[kind].append(Item(stem, sha256_of(pixels.tobytes()), {"image": stored}, dict(record or {})))

    def photo(self, stem: str, pixels: np.ndarray, variants: int = 1) -> None:
        """Add one photo, its target and `variants` inputs."""
        self.put("raw", stem, pixels)
        self.put("targets", stem, pixels, {"weights": "w" * 64, "photo": stem})
        for variant in range(variants):
            name = stem if variant == 0 else f"{stem}~{variant}"
            record = {"photo": stem, "variant": variant, "draw": {"sigma_px": 1.0 + variant}, "weights": "w" * 64}
            self.put("inputs", name, blurred(pixels, 1.0 + variant), record)

    def selection(self, kind: str) -> Selection:
        return Selection(self.root / kind, f"{kind}-print", list(self.items[kind]), {})

    def write(self, data_dir: Path, pairs: Pairs | None = None, **options: Any) -> PairsManifest:
        level, seed = options.pop("level", "mild"), options.pop("seed", 42)
        raw, inputs, targets = (self.selection(kind) for kind in ("raw", "inputs", "targets"))
        return write_pairs(raw, {level: inputs}, targets, level, pairs or small_pairs(), seed, data_dir, **options)


def small_pairs(**options: Any) -> Pairs:
    """Pairs of 32 pixels, exact duplicates together."""
    return Pairs(**{"size": 32, "split": Split(near_duplicate_bits=0), **options})
