"""Comparison pictures: raw | degraded | input | refined | target, the same photo at the same size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jewelenh.evaluation.originals import Originals, find_originals, read_original
from jewelenh.evaluation.protocol import Evaluation, Refine, read_pixels
from jewelenh.evaluation.strips import picked, ranked_stems
from jewelenh.evaluation.words import printable
from jewelenh.images import Pixels, resize
from jewelenh.pairs.contract import Pair, PairsManifest

GAP = 10
SIDE = 256
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
    refines: Mapping[str, Refine], pairs: PairsManifest, evaluations: Sequence[Evaluation], n_photos: int = 3
) -> Image.Image:
    """Show the photos with the largest, the middle and the smallest gain in PSNR (more of them evenly between)."""
    stems = ranked_stems(evaluations)
    by_stem = {pair.stem: pair for pair in pairs.pairs}
    chosen = [by_stem[stems[rank]] for rank in picked(len(stems), n_photos)]
    originals = find_originals(pairs, chosen)
    rows = [_row(refines, pairs, pair, evaluations, originals[pair.stem]) for pair in chosen]
    return sheet(["raw", "degraded", "input", *refines, "target"], rows, SIDE)


def _row(
    refines: Mapping[str, Refine],
    pairs: PairsManifest,
    pair: Pair,
    evaluations: Sequence[Evaluation],
    found: Originals,
) -> list[Cell]:
    _, input, target = next(read_pixels(pairs, [pair]))
    scores = [next(score for score in run.photos if score.stem == pair.stem) for run in evaluations]
    refined = []
    for refine, score in zip(refines.values(), scores, strict=True):
        gain = score.gain("psnr_db")
        refined.append(Cell(refine(input), (_numbers(score.refined), f"{gain:+.2f} dB"), GOOD if gain > 0 else BAD))
    return [
        Cell(read_original(found.raw), (_shortened(pair.stem),)),
        Cell(read_original(found.degraded)),
        Cell(input, (_numbers(scores[0].input),)),
        *refined,
        Cell(target),
    ]


def _numbers(values: Mapping[str, float]) -> str:
    return f"{values['psnr_db']:.2f} dB   SSIM {values['ssim']:.4f}"


def _shortened(stem: str, n: int = 34) -> str:
    whole = printable(stem)
    return whole if len(whole) <= n else "…" + whole[-n + 1 :]
