"""A contact sheet: rows of pictures under column titles, each with a few lines below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jewelenh.images import Photo, Pixels, resize

GAP_PX, HEAD_PX, TITLE_PX, LINE_PX, FOOT_PX = 10, 30, 58, 17, 12
PAPER, INK, SOFT = "#ffffff", "#1d1c1a", "#66625a"
TONES = {"": SOFT, "soft": SOFT, "better": "#17694a", "worse": "#b3372c"}


@dataclass(frozen=True)
class Picture:
    """One picture of a sheet: (H, W, 3) uint8 pixels, or none to leave its place empty."""

    pixels: Pixels | None
    lines: Sequence[str] = ()
    """Below it; the first in bold."""
    tone: str = ""
    """Of the last line: `better` or `worse`."""


def sheet(
    heads: Sequence[str],
    rows: Sequence[Sequence[Picture]],
    side_px: int,
    title: str | None = None,
    note: str = "",
    enlarge: bool = True,
) -> Image.Image:
    """Lay pictures out, each brought to `side_px` and keeping its shape; without `enlarge` none is made larger."""
    top = TITLE_PX + GAP_PX if title else 0
    heights = [side_px + LINE_PX * max(len(picture.lines) for picture in row) + FOOT_PX for row in rows]
    page = Image.new("RGB", (GAP_PX + len(heads) * (side_px + GAP_PX), top + HEAD_PX + sum(heights)), PAPER)
    pen = ImageDraw.Draw(page)
    if title:
        pen.text((GAP_PX, GAP_PX), title, INK, font(24, bold=True))
        pen.text((GAP_PX, GAP_PX + 34), fitted(note, font(13), page.width - 2 * GAP_PX), SOFT, font(13))
    lefts = [GAP_PX + index * (side_px + GAP_PX) for index in range(len(heads))]
    for left, head in zip(lefts, heads, strict=True):
        pen.text((left, top + 8), fitted(head, font(15, bold=True), side_px), INK, font(15, bold=True))
    y = top + HEAD_PX
    for row, height in zip(rows, heights, strict=True):
        for left, picture in zip(lefts, row, strict=True):
            _draw(page, pen, picture, (left, y), side_px, enlarge)
        y += height
    return page


def _draw(
    page: Image.Image, pen: ImageDraw.ImageDraw, picture: Picture, place: tuple[int, int], side: int, enlarge: bool
) -> None:
    left, top = place
    if picture.pixels is not None:
        shown = within(picture.pixels, side, enlarge)
        height, width = shown.shape[:2]
        page.paste(Image.fromarray(shown), (left + (side - width) // 2, top + (side - height) // 2))
    for index, line in enumerate(picture.lines):
        is_last = index == len(picture.lines) - 1
        colour = INK if index == 0 and not picture.tone else TONES[picture.tone if is_last else ""]
        style = font(13 if index == 0 else 12, bold=index == 0)
        pen.text((left, top + side + 4 + LINE_PX * index), fitted(line, style, side), colour, style)


def within(pixels: Pixels, side_px: int, enlarge: bool = False) -> Pixels:
    """Return (H, W, 3) pixels brought to a longest side; without `enlarge` smaller ones stay as they are."""
    height, width = pixels.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1 and not enlarge:
        return pixels
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    return resize(pixels, tall, wide, "area" if scale <= 1 else "bicubic")


def on_white(photo: Photo) -> Pixels:
    """Return a photo's pixels (H, W, 3) uint8 with what is transparent in white."""
    pixels = photo.pixels
    if photo.alpha is not None:
        share = photo.alpha[..., None].astype(np.float32) / 255
        pixels = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)
    return pixels


def fitted(text: str, style: ImageFont.FreeTypeFont, width_px: int) -> str:
    """Return text in one line, its beginning cut off where it is too long: the end tells photos apart."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if style.getlength(text) <= width_px:
        return text
    while text and style.getlength("…" + text) > width_px:
        text = text[1:]
    return "…" + text


@cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with Matplotlib, so that sheets look the same everywhere."""
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size_px)
