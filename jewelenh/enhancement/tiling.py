"""Where tiles lie over a photo that is too large for one pass, and the canvas that puts their results together.

Neighbouring tiles share `2 * margin + ramp` input pixels. The outer `margin` of each is thrown away, since there the
tile's border shows; over `ramp` one fades into the other. With a margin of the network's receptive radius no ramp is
needed, and tiled equals whole. All tiles of a photo are equally large, so that they can share batches.

    tile k    |--margin--|=========kept=========|--ramp--|--margin--|
    tile k+1                                 |--margin--|--ramp--|=========kept===...
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jewelenh.images import Pixels

BLEND_MARGIN_PX, BLEND_RAMP_PX = 32, 32
"""For networks whose reach is too far to pad for. The official engine pads by 10 and fades nothing."""


@dataclass(frozen=True)
class Overlap:
    """How much neighbouring tiles share, in input pixels."""

    margin: int
    ramp: int

    @property
    def shared(self) -> int:
        """Return the input pixels two neighbours have in common."""
        return 2 * self.margin + self.ramp


def overlap_for(radius_px: int | None) -> Overlap:
    """Return an exact overlap for a known receptive radius, a fading one otherwise."""
    return Overlap(BLEND_MARGIN_PX, BLEND_RAMP_PX) if radius_px is None else Overlap(radius_px, 0)


def tile_starts(length: int, tile: int, overlap: Overlap, multiple: int = 1) -> list[int]:
    """Return where tiles of `tile` pixels begin so that they cover `length` with at least the overlap.

    Starts are multiples of `multiple` (length and tile must be, too); the last tile ends exactly at `length`.
    """
    if tile >= length:
        return [0]
    step = (tile - overlap.shared) // multiple * multiple
    if step < 1:
        raise ValueError(f"a tile of {tile} px is all overlap ({overlap.shared} px)")
    n_tiles = -(-(length - tile) // step) + 1
    return [min(k * step, length - tile) for k in range(n_tiles)]


class Plan:
    """Equal tiles of at most `side` pixels over a photo of `height` x `width`, row by row."""

    def __init__(self, height: int, width: int, side: int, overlap: Overlap, multiple: int = 1) -> None:
        self.height, self.width, self.overlap = height, width, overlap
        self.tile_height, self.tile_width = min(side, height), min(side, width)
        self.tops = tile_starts(height, self.tile_height, overlap, multiple)
        self.lefts = tile_starts(width, self.tile_width, overlap, multiple)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def cut(self, pixels: Pixels) -> list[Pixels]:
        """Return the photo's tiles, views."""
        return [
            pixels[top : top + self.tile_height, left : left + self.tile_width]
            for top in self.tops
            for left in self.lefts
        ]


class Canvas:
    """Puts the enlarged tiles of a plan together, in the plan's order.

    Tiles are joined to a strip across the photo first and strips down the photo then, so that every step fades
    between two pictures only. Besides the result itself no more than one strip is held.
    """

    def __init__(self, plan: Plan, scale: int, dtype: np.dtype[np.unsignedinteger]) -> None:
        self.plan, self.scale = plan, scale
        self.pixels: Pixels = np.empty((plan.height * scale, plan.width * scale, 3), dtype)
        self._strip: Pixels = np.empty((plan.tile_height * scale, plan.width * scale, 3), dtype)
        self._n_pasted = 0

    def paste(self, tile: Pixels) -> None:
        """Add the next tile's result, (tile_height * scale, tile_width * scale, 3)."""
        row, column = divmod(self._n_pasted, len(self.plan.lefts))
        strip = self._strip.swapaxes(0, 1)  # columns first: joining goes along axis 0
        self._join(strip, tile.swapaxes(0, 1), self.plan.lefts, column)
        if column == len(self.plan.lefts) - 1:
            self._join(self.pixels, self._strip, self.plan.tops, row)
        self._n_pasted += 1

    def _join(self, canvas: Pixels, part: Pixels, starts: list[int], index: int) -> None:
        """Write `part` at `starts[index]` along axis 0, faded over what the part before it left there."""
        start = starts[index] * self.scale
        if index == 0:
            canvas[: len(part)] = part
            return
        shared = starts[index - 1] * self.scale + len(part) - start
        ramp = self.plan.overlap.ramp * self.scale
        before = (shared - ramp) // 2  # of the shared pixels, these stay the earlier part's
        fade = slice(start + before, start + before + ramp)
        if ramp:
            share = ((np.arange(ramp, dtype=np.float32) + 0.5) / ramp)[:, None, None]
            earlier, later = canvas[fade].astype(np.float32), part[before : before + ramp].astype(np.float32)
            canvas[fade] = np.rint(earlier + (later - earlier) * share).astype(canvas.dtype)
        canvas[fade.stop : start + len(part)] = part[before + ramp :]
