"""How much memory does a 6000x4000 photo take on a CPU? Files in, files out; prints seconds and peak memory.

python experiments/large_photo/measure.py <weights file of general_x4v3> [width height]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from jewelenh.config import Enhancer, Source
from jewelenh.enhancement.run import enhance
from jewelenh.sources import fetch


def drawn_photo(width: int, height: int) -> np.ndarray:
    """Return gold rings on a soft ground with a little grain."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    photo = np.dstack([200 + 30 * rows / height, 205 + 20 * columns / width, np.full_like(rows, 215)])
    draw = np.random.default_rng(0)
    for _ in range(60):
        centre = (int(draw.integers(0, width)), int(draw.integers(0, height)))
        axes = (int(draw.integers(width // 100, width // 8)), int(draw.integers(height // 80, height // 8)))
        cv2.ellipse(photo, centre, axes, float(draw.uniform(0, 180)), 0, 360, (60, 160, 212), 24, cv2.LINE_AA)
    photo += draw.normal(0, 3, (height, width, 1)).astype(np.float32)
    return photo.clip(0, 255).astype(np.uint8)


def main() -> None:
    weights = Path(sys.argv[1])
    width, height = (int(side) for side in sys.argv[2:4]) if len(sys.argv) > 3 else (6000, 4000)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photos"
        root.mkdir()
        cv2.imwrite(str(root / "large.png"), drawn_photo(width, height))
        data_dir = Path(folder) / "data"
        raw = fetch(Source(kind="folder", root=root), 42, data_dir)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started_s = time.monotonic()
        made = enhance(raw, "raw", Enhancer(name="general_x4v3", weights=weights), data_dir, None)
        seconds = time.monotonic() - started_s
        result = made.file(made.items[0])
        size = result.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{width}x{height}: {seconds:.0f} s, PNG of {size:.0f} MB")
    print(f"peak memory {peak / 1e6:.2f} GB (before: {before / 1e6:.2f} GB)")


if __name__ == "__main__":
    main()
