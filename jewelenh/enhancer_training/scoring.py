"""The end of a training: the exported network scored through the project's own enhancer, beside bicubic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancer_training.data import HeldOutPhotos, centre
from jewelenh.evaluation.scores import PhotoScore, ScoreTable
from jewelenh.files import write_atomically
from jewelenh.images import Photo, Pixels, resize
from jewelenh.metrics import METRICS, scores_of
from jewelenh.reporting.pictures import score_line
from jewelenh.reporting.sheet import Picture, sheet

KINDS = ("clean", "degraded")
SHOWN_PHOTOS, SIDE_PX = 3, 256
SCORED = [METRICS[name] for name in ("psnr_db", "ssim")]


def score(upscaler: Upscaler, photos: HeldOutPhotos) -> dict[str, ScoreTable]:
    """Score every photo made small, clean and degraded, as 8-bit pictures against the photo itself."""
    found: dict[str, list[PhotoScore]] = {kind: [] for kind in KINDS}
    for index, file in enumerate(photos.photos.files):
        high, *lows = photos.pixels(index)
        for kind, low in zip(KINDS, lows, strict=True):
            values = {name: scores_of(pixels, high, SCORED) for name, pixels in made(upscaler, low, high).items()}
            found[kind].append(PhotoScore(file.name, str(file), values))
    return {kind: ScoreTable(tuple(rows), "the photo", "bicubic", "network") for kind, rows in found.items()}


def made(upscaler: Upscaler, low: Pixels, high: Pixels) -> dict[str, Pixels]:
    """Return what bicubic and the network make of a small picture."""
    return {"bicubic": enlarged(low, high), "network": upscaler.upscale(Photo(low)).pixels}


def enlarged(low: Pixels, high: Pixels) -> Pixels:
    """Enlarge by bicubic (Keys' kernel, a = -0.75) to the size of `high`."""
    return resize(low, high.shape[0], high.shape[1], "bicubic")


def write_report(folder: Path, upscaler: Upscaler, photos: HeldOutPhotos, level: str) -> dict[str, ScoreTable]:
    """Score, and leave `metrics.json` and `comparison.png` in `folder`; return the scores."""
    tables = score(upscaler, photos)
    protocol = {
        "backend": "jewelenh, in float64, held against scikit-image and torchmetrics by its tests",
        "metrics": {metric.name: metric.definition for metric in SCORED},
        "clean": f"made 1/{upscaler.scale} of the size by area",
        "degraded": f"the same, then level {level} without its colour step",
        "bicubic": "OpenCV, a = -0.75",
        "square_px": photos.side,
        "precision": upscaler.precision,
    }
    rows = zip(*(table.photos for table in tables.values()), strict=True)
    content = {
        "protocol": protocol,
        "means": {kind: means(table) for kind, table in tables.items()},
        "photos": [{"photo": row[0].stem, **{k: s.values for k, s in zip(KINDS, row, strict=True)}} for row in rows],
    }
    write_atomically(folder / "metrics.json", (json.dumps(content, indent=1) + "\n").encode())
    _comparison(upscaler, photos, tables).save(folder / "comparison.png", optimize=True)
    return tables


def means(table: ScoreTable) -> dict[str, dict[str, float]]:
    """Return the means by picture, then by metric."""
    return {image: {name: row[image] for name, row in table.summary.items()} for image in table.images}


def _comparison(upscaler: Upscaler, photos: HeldOutPhotos, tables: Mapping[str, ScoreTable]) -> Any:
    """Show a few photos, evenly spread over the list, each clean and degraded, cut to the same square."""
    n = len(photos)
    picks = sorted({round(i * (n - 1) / max(1, SHOWN_PHOTOS - 1)) for i in range(min(n, SHOWN_PHOTOS))})
    rows = []
    for pick in picks:
        high, *lows = photos.pixels(pick)
        for (kind, table), low in zip(tables.items(), lows, strict=True):
            values = table.photos[pick].values
            pictures = [
                Picture(centre(pixels, SIDE_PX, 1), (f"{kind}   {score_line(values[name])}",))
                for name, pixels in made(upscaler, low, high).items()
            ]
            rows.append([*pictures, Picture(centre(high, SIDE_PX, 1), (photos.photos.files[pick].name,))])
    return sheet(["bicubic", "network", "photo"], rows, SIDE_PX)
