"""Planes in batches of equal tiles through an executor, and what happens when memory runs out.

Memory that a device turns out not to have is handled where it is missing: the batch is halved, then the tile, and
exactly the failed work is done again; later work starts with what was learned. Only failed allocations are caught.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from jewelenh.config import Hardware
from jewelenh.enhancement.executor import Executor, Pending, Result
from jewelenh.enhancement.network import Network
from jewelenh.enhancement.tiling import Canvas, Plan, overlap_for
from jewelenh.errors import ImageError
from jewelenh.hardware import DTYPES, Precision, is_out_of_memory
from jewelenh.images import Pixels

log = logging.getLogger(__name__)

CPU_BYTES = 3 << 30
"""Working memory of all passes on a CPU, of which one may take half: with the result, 6000x4000 stays below 6 GB."""
CUDA_SHARE = 0.5
"""Of a card's memory, for one batch; the next is being uploaded and the last downloaded meanwhile."""
CUDA_BATCH_PIXELS = 8 * 262 * 262
"""Input pixels of one batch; fixed, so that a photo's batch does not depend on the other photos."""
MAX_WAITING = 64
"""Tiles that wait for others of their size before they go as a smaller batch."""

Receiver = Callable[[Pixels | ImageError], None]
T = TypeVar("T")


class NotFiniteError(ImageError):
    """A network gave NaN or infinity."""


@dataclass
class _Plane:
    """One plane under way; `canvas` is None where one tile is all of it."""

    size: tuple[int, int]
    """Height and width of the result."""
    n_left: int
    canvas: Canvas | None
    receive: Receiver
    error: ImageError | None = None

    def add(self, tile: Pixels | ImageError) -> None:
        """Take the result of the next tile, and hand on the plane after its last."""
        self.n_left -= 1
        if isinstance(tile, ImageError):
            self.error = self.error or tile
        elif self.canvas is not None and self.error is None:
            self.canvas.paste(tile)
        if self.n_left:
            return
        whole = tile if self.canvas is None else self.canvas.pixels
        if self.error is not None or isinstance(whole, ImageError):
            self.receive(self.error or whole)
            return
        self.receive(np.ascontiguousarray(whole[: self.size[0], : self.size[1]]))


_Batch = list[tuple[_Plane, Pixels]]


class Batches:
    """Keeps an executor busy with batches of equal tiles, and hands every finished plane to its receiver."""

    def __init__(self, network: Network, executor: Executor, hardware: Hardware, precision: Precision) -> None:
        self.network, self.executor, self.hardware, self.precision = network, executor, hardware, precision
        self.device, self.overlap = executor.device, overlap_for(network.radius_px)
        self._waiting: dict[tuple[tuple[int, ...], str], _Batch] = {}
        self._under_way: deque[tuple[_Batch, int, Pending | None]] = deque()
        self._largest_batch = math.inf
        self._failed_pixels = math.inf
        """Pixels of the smallest tile that memory did not suffice for."""

    def add(self, pixels: Pixels, receive: Receiver) -> None:
        """Cut a plane (H, W, 3) and queue its tiles; `receive` gets the result sooner or later."""
        size = pixels.shape[0] * self.network.scale, pixels.shape[1] * self.network.scale
        pixels = _padded(pixels, self.network.multiple, self.network.minimum)
        plan = self._plan(pixels)
        canvas = Canvas(plan, self.network.scale, pixels.dtype) if len(plan) > 1 else None
        plane = _Plane(size, len(plan), canvas, receive)
        for tile in plan.cut(pixels):
            kind = tile.shape, tile.dtype.str
            batch = self._waiting.setdefault(kind, [])
            batch.append((plane, tile))
            if len(batch) >= self._batch_length(tile):
                self._start(self._waiting.pop(kind))
        if sum(map(len, self._waiting.values())) > MAX_WAITING:
            self._start_all()

    def finish(self) -> None:
        """Work off everything that waits."""
        self._start_all()
        while self._under_way:
            self._collect()

    def _start_all(self) -> None:
        for kind in list(self._waiting):
            self._start(self._waiting.pop(kind))

    def _start(self, batch: _Batch) -> None:
        while len(self._under_way) >= self.executor.depth or (self._under_way and self._is_crowded_by(batch)):
            self._collect()
        tiles, length = [tile for _, tile in batch], self._batch_length(batch[0][1])
        pending = _unless_out_of_memory(lambda: self.executor.submit(tiles, length))
        self._under_way.append((batch, length, pending))

    def _is_crowded_by(self, batch: _Batch) -> bool:
        """Say whether a CPU would hold more than `CPU_BYTES` with this batch; cards hold two batches by choice."""
        tiles = [tile for others in [batch, *(each for each, _, _ in self._under_way)] for _, tile in others]
        n_bytes = sum(tile.shape[0] * tile.shape[1] * self._bytes_per_pixel(tile.dtype) for tile in tiles)
        return self.device.type == "cpu" and n_bytes > CPU_BYTES

    def _collect(self) -> None:
        """Wait for the oldest batch and hand its tiles to their planes, in order."""
        batch, length, pending = self._under_way.popleft()
        result = pending and _unless_out_of_memory(pending)
        del pending  # a failed one holds on to the frames of its error, and to their memory
        large = self._checked(result) if result else self._again([tile for _, tile in batch], length)
        for (plane, _), tile in zip(batch, large, strict=True):
            plane.add(tile)

    def _checked(self, result: Result) -> list[Pixels | ImageError]:
        fix = "hardware.precision=fp32; if the weights give the same there, they are broken"
        error = NotFiniteError(f"The network gave NaN or infinity in {self.precision}.", fix=fix)
        return [tile if is_finite else error for tile, is_finite in zip(*result, strict=True)]

    # Sizes that fit

    def _plan(self, pixels: Pixels) -> Plan:
        """Choose the tiles: the whole plane where it fits, else what memory and `hardware.tile` say."""
        height, width = pixels.shape[:2]
        side, multiple = max(height, width), self.network.multiple
        if isinstance(self.hardware.tile, int):
            side = min(side, self.hardware.tile + self.overlap.shared)
        elif self.hardware.tile == "auto":
            fitting = self._memory() // self._bytes_per_pixel(pixels.dtype)
            side = side if height * width <= fitting else min(side, math.isqrt(fitting))
        while min(side, height) * min(side, width) >= self._failed_pixels and (smaller := self._halved(side)):
            side = smaller
        return Plan(height, width, -(-side // multiple) * multiple, self.overlap, multiple)

    def _halved(self, side: int) -> int | None:
        """Return half a tile's side, or None where it would be little more than overlap, or tiling is off."""
        half = side // 2 // self.network.multiple * self.network.multiple
        return half if self.hardware.tile is not None and half >= self.overlap.shared + 8 else None

    def _batch_length(self, tile: Pixels) -> int:
        """Return how many tiles of this size make a batch; the same for all photos of a size."""
        if not self.executor.takes_batches:
            return 1
        length = self.hardware.batch_size
        if length == "auto":
            n_pixels = tile.shape[0] * tile.shape[1]
            fitting = self._memory() // (n_pixels * self._bytes_per_pixel(tile.dtype))
            length = max(1, min(CUDA_BATCH_PIXELS // n_pixels, fitting))
        return int(min(length, self._largest_batch))

    def _bytes_per_pixel(self, kind: np.dtype[np.unsignedinteger]) -> int:
        is_deep = kind == np.uint16 and self.hardware.precision == "auto"
        return self.network.bytes_per_pixel * (4 if is_deep else DTYPES[self.precision].itemsize)

    def _memory(self) -> int:
        """Return the bytes one pass may take; the same on every run, so that tiles are, too."""
        if self.device.type == "cpu":
            return CPU_BYTES // 2
        return int(torch.cuda.get_device_properties(self.device).total_memory * CUDA_SHARE)

    # Memory that was not there

    def _again(self, tiles: list[Pixels], length: int) -> list[Pixels | ImageError]:
        """Redo a batch that ran out of memory, alone on the device."""
        self._under_way = deque((batch, n, _kept(pending)) for batch, n, pending in self._under_way)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.executor.depth > 1:
            self.executor.depth //= 2
            log.warning("out of memory: %d batches under way from here on", self.executor.depth)
            return self._now(tiles, length)
        return self._smaller(tiles, length)

    def _now(self, tiles: list[Pixels], length: int) -> list[Pixels | ImageError]:
        result = _unless_out_of_memory(lambda: self.executor.run(tiles, length))
        return self._checked(result) if result else self._smaller(tiles, length)

    def _smaller(self, tiles: list[Pixels], length: int) -> list[Pixels | ImageError]:
        """Halve the batch, or else the tile."""
        if length == 1:
            return [self._in_parts(tile) for tile in tiles]
        half = length // 2
        self._largest_batch = min(self._largest_batch, half)
        log.warning("out of memory with %d tiles of %s: %d from here on", length, _shape(tiles[0]), half)
        parts = [tiles[start : start + half] for start in range(0, len(tiles), half)]
        return [large for part in parts for large in self._now(part, half)]

    def _in_parts(self, tile: Pixels) -> Pixels | ImageError:
        """Compute a tile that is too large by tiles of half its side."""
        height, width = tile.shape[:2]
        self._failed_pixels = min(self._failed_pixels, height * width)
        side = self._halved(max(height, width))
        if side is None:
            fix = "hardware.tile=auto" if self.hardware.tile is None else "a smaller photo or more memory"
            return ImageError(f"Memory does not suffice for {_shape(tile)} pixels in one pass.", fix=fix)
        log.warning("out of memory with one tile of %s: in parts of %d px from here on", _shape(tile), side)
        plan = Plan(height, width, side, self.overlap, self.network.multiple)
        canvas = Canvas(plan, self.network.scale, tile.dtype)
        for part in plan.cut(tile):
            (large,) = self._now([part], 1)
            if isinstance(large, ImageError):
                return large
            canvas.paste(large)
        return canvas.pixels


def _unless_out_of_memory(call: Callable[[], T]) -> T | None:
    """Return what `call` returns, or None where memory ran out.

    The error is let go before anything is tried again: its frames hold the tensors that filled the memory.
    """
    try:
        return call()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def _kept(pending: Pending | None) -> Pending | None:
    """Wait for a batch, so that it no longer needs memory of its own, and keep what came of it."""
    result = pending and _unless_out_of_memory(pending)
    return (lambda: result) if result else None


def _padded(pixels: Pixels, multiple: int, minimum: int) -> Pixels:
    """Reflect at the right and lower border up to the sides the network needs."""
    height, width = pixels.shape[:2]
    rows, columns = (-(-max(side, minimum) // multiple) * multiple - side for side in (height, width))
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="reflect") if rows or columns else pixels


def _shape(tile: Pixels) -> str:
    return f"{tile.shape[1]}x{tile.shape[0]}"
