"""Comparison pictures: raw | degraded | input | refined | target, the same photo at the same size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jewelenh.evaluation.originals import find_originals, read_original
from jewelenh.evaluation.protocol import Evaluation, PhotoScore, read_pixels
from jewelenh.images import Pixels, resize
from jewelenh.pairs.contract import Pair, PairsManifest

GAP = 10
HEADER = 30
CAPTION = 44
INK, FAINT, GOOD, BAD, PAPER = (30, 30, 34), (110, 110, 118), (24, 120, 60), (176, 40, 40), (255, 255, 255)


@dataclass(frozen=True)
class Cell:
    """One picture of a row: (H, W, 3) uint8 pixels, and up to two short lines under it."""

    pixels: Pixels | None
    lines: tuple[str, ...] = ()
    colour: tuple[int, int, int] = FAINT


@lru_cache(maxsize=8)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which Matplotlib carries, so that pictures look the same everywhere."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def sheet(columns: Sequence[str], rows: Sequence[Sequence[Cell]], side: int) -> Image.Image:
    """Lay rows of cells out under column titles; pictures are brought to `side` pixels, keeping their shape."""
    width = GAP + len(columns) * (side + GAP)
    picture = Image.new("RGB", (width, HEADER + len(rows) * (side + CAPTION) + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(columns):
        draw.text((GAP + column * (side + GAP), 8), title, INK, font(15, bold=True))
    for row, cells in enumerate(rows):
        top = HEADER + row * (side + CAPTION)
        for column, cell in enumerate(cells):
            left = GAP + column * (side + GAP)
            if cell.pixels is not None:
                picture.paste(_fitted(cell.pixels, side), (left, top))
            for line, text in enumerate(cell.lines):
                draw.text((left, top + side + 4 + 17 * line), text, cell.colour if line else FAINT, font(12))
    return picture


def _fitted(pixels: Pixels, side: int) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    fitted = resize(pixels, tall, wide, "area" if scale < 1 else "bicubic")
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - tall) // 2, (side - wide) // 2
    square[top : top + tall, left : left + wide] = fitted
    return Image.fromarray(square)


def comparison(
    refine: Callable[[Pixels], Pixels], pairs: PairsManifest, evaluation: Evaluation, n_photos: int = 3, side: int = 256
) -> Image.Image:
    """Show the photos with the largest, the middle and the smallest gain in PSNR (more of them evenly between)."""
    ranked = evaluation.ranked()
    picks = np.linspace(0, len(ranked) - 1, min(n_photos, len(ranked))).round().astype(int)
    by_stem = {pair.stem: pair for pair in pairs.pairs}
    scores = [ranked[pick] for pick in picks]
    originals = find_originals(pairs, [by_stem[score.stem] for score in scores])
    rows = []
    for score in scores:
        found = originals[score.stem]
        raw, degraded = read_original(found.raw), read_original(found.degraded)
        rows.append(_row(refine, pairs, by_stem[score.stem], score, (raw, degraded)))
    return sheet(["raw", "degraded", "input", "refined", "target"], rows, side)


def _row(
    refine: Callable[[Pixels], Pixels],
    pairs: PairsManifest,
    pair: Pair,
    score: PhotoScore,
    originals: tuple[Pixels | None, Pixels | None],
) -> list[Cell]:
    _, input, target = next(read_pixels(pairs, [pair]))
    gain = score.gain("psnr_db")
    return [
        Cell(originals[0], (_shortened(pair.stem),)),
        Cell(originals[1]),
        Cell(input, (_numbers(score.input),)),
        Cell(refine(input), (_numbers(score.refined), f"{gain:+.2f} dB"), GOOD if gain > 0 else BAD),
        Cell(target),
    ]


def _numbers(values: object) -> str:
    assert isinstance(values, dict)
    return f"{values['psnr_db']:.2f} dB   SSIM {values['ssim']:.4f}"


def _shortened(stem: str, n: int = 34) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in stem)
    return printable if len(printable) <= n else "…" + printable[-n + 1 :]
