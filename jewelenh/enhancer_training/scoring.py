"""The end of a training: the exported network scored through the project's own enhancer, beside bicubic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torchmetrics
from PIL import Image

from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancer_training.patches import Examinations, centre, planes
from jewelenh.evaluation.figures import INK, Cell, sheet
from jewelenh.files import write_atomically
from jewelenh.images import Photo, Pixels, resize, to_unit
from jewelenh.metrics import psnr_db, ssim

Scores: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""clean or degraded -> bicubic or network -> psnr_db and ssim."""
KINDS = ("clean", "degraded")
FIGURE_SIDE = 256


def score(upscaler: Upscaler, photos: Examinations) -> list[dict[str, object]]:
    """Score every photo, both ways, as 8-bit pictures."""
    rows: list[dict[str, object]] = []
    for index, file in enumerate(photos.photos.files):
        high, *lows = photos.pixels(index)
        row: dict[str, object] = {"photo": file.name}
        for kind, low in zip(KINDS, lows, strict=True):
            made = {"bicubic": enlarged(low, high), "network": upscaler.upscale(Photo(low)).pixels}
            row[kind] = {name: _metrics(pixels, high) for name, pixels in made.items()}
        rows.append(row)
    return rows


def enlarged(low: Pixels, high: Pixels) -> Pixels:
    """Enlarge by bicubic (Keys' kernel, a = -0.75) to the size of `high`."""
    return resize(low, high.shape[0], high.shape[1], "bicubic")


def _metrics(made: Pixels, high: Pixels) -> dict[str, float]:
    first, second = (to_unit(planes(pixels))[None] for pixels in (made, high))
    return {"psnr_db": float(psnr_db(first, second)), "ssim": float(ssim(first, second))}


def means(rows: Sequence[Mapping[str, object]]) -> Scores:
    """Average over photos."""
    result: Scores = {}
    for kind in KINDS:
        result[kind] = {}
        for name in ("bicubic", "network"):
            values = [row[kind][name] for row in rows]  # type: ignore[index]
            result[kind][name] = {key: sum(value[key] for value in values) / len(rows) for key in ("psnr_db", "ssim")}
    return result


def table(scores: Scores, n_photos: int) -> str:
    """Return the scores as lines of text."""
    lines = [f"{f'{n_photos} held-out photos':24}{'bicubic':>9}{'network':>9}{'gain':>8}"]
    for kind in KINDS:
        for key, label, digits in (("psnr_db", "PSNR in dB", 2), ("ssim", "SSIM", 4)):
            before, after = (scores[kind][name][key] for name in ("bicubic", "network"))
            lines.append(f"{f'{kind}, {label}':24}{before:9.{digits}f}{after:9.{digits}f}{after - before:+8.{digits}f}")
    return "\n".join(lines)


def write_report(folder: Path, upscaler: Upscaler, photos: Examinations, level: str) -> Scores:
    """Score, and leave `metrics.json` and `comparison.png` in `folder`; return the means."""
    rows = score(upscaler, photos)
    scores = means(rows)
    protocol = {
        "metrics": f"torchmetrics {torchmetrics.__version__}, RGB, 8 bits as [0, 1], data range 1, no border cut",
        "clean": f"made 1/{upscaler.scale} of the size by area",
        "degraded": f"the same, then level {level} without its colour step",
        "bicubic": "OpenCV, a = -0.75",
        "square_px": photos.side,
        "precision": upscaler.precision,
    }
    content = {"protocol": protocol, "means": scores, "photos": rows}
    write_atomically(folder / "metrics.json", (json.dumps(content, indent=1) + "\n").encode())
    _picture(upscaler, photos, rows).save(folder / "comparison.png", optimize=True)
    return scores


def _picture(
    upscaler: Upscaler, photos: Examinations, rows: Sequence[Mapping[str, object]], n_photos: int = 3
) -> Image.Image:
    """Show a few photos, evenly spread over the list, each clean and degraded."""
    n = len(photos)
    picks = sorted({round(i * (n - 1) / max(1, n_photos - 1)) for i in range(min(n, n_photos))})
    lines = [_row(upscaler, photos, rows[pick], pick, kind) for pick in picks for kind in KINDS]
    return sheet(["bicubic", "network", "photo"], lines, FIGURE_SIDE)


def _row(upscaler: Upscaler, photos: Examinations, scores: Mapping[str, object], index: int, kind: str) -> list[Cell]:
    """Return bicubic, network and photo, cut to the figure's side, with their scores over the whole square."""
    high, *lows = photos.pixels(index)
    low = lows[KINDS.index(kind)]
    made = {"bicubic": enlarged(low, high), "network": upscaler.upscale(Photo(low)).pixels}
    cells = []
    for name, pixels in made.items():
        values = scores[kind][name]  # type: ignore[index]
        line = f"{values['psnr_db']:.2f} dB   SSIM {values['ssim']:.4f}"
        cells.append(Cell(centre(pixels, FIGURE_SIDE, 1), (kind, line), INK))
    return [*cells, Cell(centre(high, FIGURE_SIDE, 1), (photos.photos.files[index].name,))]
