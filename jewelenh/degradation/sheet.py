"""Draw a contact sheet with Pillow: a title, column heads, and cells of a photo with a bold and some plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jewelenh.images import Photo, Pixels, resize

PAGE, CARD, LINE, INK, GREY = "#f3f2ef", "#ffffff", "#dedbd4", "#26241f", "#6f6b62"
PHOTO_PX = 300
"""Longest side of a shown photo; smaller ones are shown pixel by pixel."""
MARGIN_PX, GAP_PX, PAD_PX = 36, 16, 12
TITLE_PT, HEAD_PT, BOLD_PT, PLAIN_PT = 30, 19, 15, 13
LINE_PX = 19


@dataclass(frozen=True)
class Cell:
    """A photo (uint8) and what stands below it."""

    photo: Photo
    bold: str
    plain: Sequence[str] = field(default_factory=list)


def draw_sheet(title: str, note: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Pixels:
    """Return the sheet as (H, W, 3) uint8 RGB."""
    shown = [[_shown(cell.photo) for cell in row] for row in rows]
    photo_px = max([160, *(max(picture.shape[:2]) for row in shown for picture in row)])
    width_px = photo_px + 2 * PAD_PX
    top_px = MARGIN_PX + 84
    heights_px = [_height(row, pictures) for row, pictures in zip(rows, shown, strict=True)]
    page_px = (
        2 * MARGIN_PX + len(heads) * width_px + (len(heads) - 1) * GAP_PX,
        top_px + 36 + sum(heights_px) + GAP_PX * (len(rows) - 1) + MARGIN_PX,
    )
    page = Image.new("RGB", page_px, PAGE)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN_PX, MARGIN_PX - 6), title, INK, _font(TITLE_PT, bold=True))
    pen.text((MARGIN_PX, MARGIN_PX + 38), note, GREY, _font(PLAIN_PT))
    lefts_px = [MARGIN_PX + i * (width_px + GAP_PX) for i in range(len(heads))]
    for left_px, head in zip(lefts_px, heads, strict=True):
        pen.text(
            (left_px + 2, top_px), _fitted(head, _font(HEAD_PT, bold=True), width_px), INK, _font(HEAD_PT, bold=True)
        )
    y_px = top_px + 36
    for row, pictures, height_px in zip(rows, shown, heights_px, strict=True):
        for left_px, cell, picture in zip(lefts_px, row, pictures, strict=True):
            _draw_cell(page, pen, (left_px, y_px, width_px, height_px), cell, picture)
        y_px += height_px + GAP_PX
    return np.asarray(page)


def _height(row: Sequence[Cell], pictures: Sequence[Pixels]) -> int:
    n_lines = max(len(cell.plain) for cell in row)
    tallest_px = max(int(picture.shape[0]) for picture in pictures)
    return tallest_px + 3 * PAD_PX + LINE_PX * (n_lines + 1)


def _draw_cell(
    page: Image.Image, pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], cell: Cell, picture: Pixels
) -> None:
    left, top, width, height = box
    pen.rounded_rectangle((left, top, left + width - 1, top + height - 1), 8, CARD, LINE)
    page.paste(Image.fromarray(picture), (left + (width - picture.shape[1]) // 2, top + PAD_PX))
    y = top + picture.shape[0] + 2 * PAD_PX
    for i, line in enumerate([cell.bold, *cell.plain]):
        font = _font(PLAIN_PT, bold=False) if i else _font(BOLD_PT, bold=True)
        pen.text((left + PAD_PX, y + i * LINE_PX), _fitted(line, font, width - 2 * PAD_PX), GREY if i else INK, font)


def _shown(photo: Photo) -> Pixels:
    """Return the photo on white, made smaller where it is larger than `PHOTO_PX`."""
    pixels = photo.pixels
    if photo.alpha is not None:
        share = photo.alpha[..., None].astype(np.float32) / 255
        pixels = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)
    height, width = photo.size
    factor = min(1.0, PHOTO_PX / max(height, width))
    return resize(pixels, max(1, round(height * factor)), max(1, round(width * factor)), "area")


def _fitted(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """Return the text in one line, its beginning cut off where it is too long: the end tells photos apart."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength("…" + text) > width_px:
        text = text[1:]
    return "…" + text


@cache
def _font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with Matplotlib and has sigma, degrees and most of the world's letters."""
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size_px)
