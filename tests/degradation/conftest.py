"""Drawn photos and levels for the tests of the degradation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from jewelenh.config import Source, parse
from jewelenh.degradation.levels import Degradation
from jewelenh.images import Pixels
from jewelenh.job import CONF_DIR
from jewelenh.sources import fetch
from jewelenh.stage import Selection


def draw_ring(seed: int, size_px: int = 96) -> Pixels:
    """Draw a ring with a stone on a bright ground, another one for every seed."""
    rng = np.random.default_rng(seed)
    ground = np.linspace(235, 252, size_px)[:, None, None] + rng.uniform(-3, 3, 3)
    picture = np.ascontiguousarray(np.broadcast_to(ground, (size_px, size_px, 3)).astype(np.uint8))
    centre = tuple(int(v) for v in rng.integers(size_px // 2 - 8, size_px // 2 + 8, 2))
    metal = tuple(int(v) for v in rng.integers(90, 220, 3))
    cv2.ellipse(
        picture, centre, (size_px // 3, size_px // 4), float(rng.uniform(0, 180)), 0, 360, metal, 5, cv2.LINE_AA
    )
    for _ in range(12):
        at = tuple(int(v) for v in rng.integers(size_px // 4, 3 * size_px // 4, 2))
        cv2.circle(
            picture, at, int(rng.integers(1, 5)), tuple(int(v) for v in rng.integers(0, 256, 3)), -1, cv2.LINE_AA
        )
    return picture


def load_level(name: str) -> Degradation:
    """Return a shipped level as its file has it."""
    values = yaml.safe_load((CONF_DIR / "degradation" / f"{name}.yaml").read_text(encoding="utf-8"))
    return parse(Degradation, values, "degradation")


def files_of(selection: Selection) -> dict[str, bytes]:
    """Return the content of every file of a selection by stem."""
    return {item.stem: selection.file(item).read_bytes() for item in selection.items}


@pytest.fixture
def ring() -> Callable[..., Pixels]:
    return draw_ring


@pytest.fixture
def level() -> Callable[[str], Degradation]:
    return load_level


@pytest.fixture
def contents() -> Callable[[Selection], dict[str, bytes]]:
    return files_of


@pytest.fixture
def everything_on(level: Callable[[str], Degradation]) -> Degradation:
    """Return a level whose steps all fire, both kinds of blur and noise included."""
    severe = level("severe")
    return replace(
        severe,
        name="all",
        blur=replace(severe.blur, probability=1.0, kinds=("both",), gaussian_sigma_px=(0.6, 2.0)),
        noise=replace(severe.noise, probability=1.0, kinds=("both",), salt_pepper_amount=(0.01, 0.05)),
        downscale=replace(severe.downscale, methods=("nearest", "bilinear", "bicubic", "lanczos", "area")),
        colour=replace(severe.colour, probability=1.0),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of eight photos in two folders, two of them of the same name."""
    root = tmp_path / "photos"
    for i, stem in enumerate(["rings/a.jpg", "rings/b.jpg", "necklaces/a.jpg", "necklaces/a.png", "c.png", "d.jpg"]):
        path = root / stem
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_ring(i)).save(path, quality=95)
    return root


@pytest.fixture
def raw_of(tmp_path: Path) -> Callable[[Path], Selection]:
    def index(root: Path, data_dir: Path = tmp_path / "data") -> Selection:
        return fetch(Source(kind="folder", root=root), 42, data_dir)

    return index
