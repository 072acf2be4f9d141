"""Planes in batches of equal tiles: where they are computed, and what happens when memory runs out.

CPU: as many tiles at once as there are cores, each computed by one thread. Measured on 2 cores (general_x4v3, bf16,
262x262): 0.43 s a photo against 1.1 s with both threads on one photo, while other programs took a share of the cores:
threads that share a layer wait for the slowest at every layer. Bytes are the same either way.
CUDA: stacks of one fixed length, so that cuDNN picks the same kernels whatever is left for the last one.

Memory that a device turns out not to have is handled where it is missing: the batch is halved, then the tile, and
exactly the failed work is done again; later work starts with what was learned. Only failed allocations are caught.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jewelenh.config import Hardware
from jewelenh.enhancement.network import Network
from jewelenh.enhancement.tiling import Canvas, Plan, overlap_for
from jewelenh.errors import ImageError
from jewelenh.hardware import DTYPES, Precision, is_out_of_memory
from jewelenh.images import Pixels, from_unit, to_unit

log = logging.getLogger(__name__)

CPU_BYTES = 3 << 30
"""Working memory of all passes on a CPU, of which one may take half: with the result, 6000x4000 stays below 6 GB."""
CUDA_SHARE = 0.5
"""Of a card's memory, for one batch."""
CUDA_BATCH_PIXELS = 8 * 262 * 262
"""Input pixels of one batch; fixed, so that a photo's batch does not depend on the other photos."""
MAX_WAITING = 64
"""Tiles that wait for others of their size before they go as a smaller batch."""
_SMALL_INPUT = 20480
"""PyTorch convolves a single fp32 input of at most so many numbers by another kernel than all others (`use_mkldnn` in
its Convolution.cpp), with other last bits. Such photos go in twice, so that a tile has the bytes of the whole."""

Receiver = Callable[[Pixels | ImageError], None]


class NotFiniteError(ImageError):
    """A network gave NaN or infinity."""


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Same CUDA kernels every time, and fp32 that is fp32 (not TF32)."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


class Executor:
    """A network on its device: equal tiles (H, W, 3) in, for each (H * scale, W * scale, 3), or None for NaN, out."""

    def __init__(self, network: Network, device: torch.device, strength: float, compiles: bool) -> None:
        self.network, self.device, self.strength, self.compiles = network, device, strength, compiles
        self.stacks = device.type == "cuda"
        """Tiles go through as one tensor."""
        # Code that is compiled for a CPU has its thread count built in, so it gets all of them.
        self.n_at_once = 1 if compiles else min(torch.get_num_threads(), 8)
        self._modules: dict[Precision, Callable[[Tensor], Tensor]] = {}

    @_repeatable()
    def run(self, tiles: Sequence[Pixels], length: int, precision: Precision) -> list[Pixels | None]:
        """Compute at most `length` tiles, uint8 or uint16; raises where memory runs out."""
        if precision not in self._modules:
            module: Any = copy.deepcopy(self.network.module)  # the weights as they were read are for other precisions
            module = module.to(self.device, DTYPES[precision], memory_format=torch.channels_last)
            self._modules[precision] = torch.compile(module) if self.compiles else module
        if self.stacks:
            stacked = np.zeros((length, *tiles[0].shape), tiles[0].dtype)
            np.stack(tiles, out=stacked[: len(tiles)])
            return self._computed(stacked, precision)[: len(tiles)]
        # Copies, as PyTorch wants its own: writable and contiguous.
        copies = [np.repeat(tile[None], 2 if tile.size <= _SMALL_INPUT else 1, axis=0) for tile in tiles]
        if len(tiles) == 1 or self.n_at_once == 1:
            return [self._computed(each, precision)[0] for each in copies]
        n_threads = torch.get_num_threads()
        each_has = max(1, n_threads // self.n_at_once)
        try:
            with ThreadPoolExecutor(self.n_at_once, "enhance", torch.set_num_threads, (each_has,)) as pool:
                return [found[0] for found in pool.map(lambda each: self._computed(each, precision), copies)]
        finally:
            torch.set_num_threads(n_threads)  # threads that are made later get the count that was set last

    @torch.inference_mode()
    def _computed(self, stacked: Pixels, precision: Precision) -> list[Pixels | None]:
        """Integers to [0, 1], network, blend with bicubic, back to integers, all on the device."""
        on_device = torch.from_numpy(stacked).to(self.device)
        unit = to_unit(on_device.permute(0, 3, 1, 2))  # (B, 3, H, W); its memory is channels_last already
        large = self._modules[precision](unit.to(DTYPES[precision]))
        is_finite = large.sum(dim=(1, 2, 3), dtype=torch.float32).isfinite().tolist()
        if self.strength < 1:
            # Both libraries' bicubic: Keys' kernel with a = -0.75; it reaches 2 px, which every tile margin covers.
            bicubic = functional.interpolate(unit, scale_factor=self.network.scale, mode="bicubic")
            large = torch.lerp(bicubic.clamp(0, 1), large.float().clamp(0, 1), self.strength)
        pixels = from_unit(large.permute(0, 2, 3, 1), on_device.dtype).contiguous().cpu().numpy()
        return [tile if finite else None for tile, finite in zip(pixels, is_finite, strict=True)]


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


class Batches:
    """Gathers the tiles of many planes, and hands every finished plane to its receiver."""

    def __init__(self, executor: Executor, hardware: Hardware, precision: Precision) -> None:
        self.executor, self.hardware, self.precision = executor, hardware, precision
        self.network, self.overlap = executor.network, overlap_for(executor.network.radius_px)
        self._waiting: dict[tuple[tuple[int, ...], str], list[tuple[_Plane, Pixels]]] = {}
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
                self._work_off(kind)
        if sum(map(len, self._waiting.values())) > MAX_WAITING:
            self.finish()

    def finish(self) -> None:
        """Work off everything that waits."""
        for kind in list(self._waiting):
            self._work_off(kind)

    def _work_off(self, kind: tuple[tuple[int, ...], str]) -> None:
        """Compute the tiles of one size and hand them to their planes, in order."""
        planes, tiles = zip(*self._waiting.pop(kind), strict=True)
        for plane, large in zip(planes, self._computed(tiles, self._batch_length(tiles[0])), strict=True):
            plane.add(large)

    def _computed(self, tiles: Sequence[Pixels], length: int) -> list[Pixels | ImageError]:
        large = None
        try:
            large = self.executor.run(tiles, length, self._precision_for(tiles[0].dtype))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        if large is None:  # the error is let go by now: its frames hold the tensors that filled the memory
            if self.executor.device.type == "cuda":
                torch.cuda.empty_cache()
            return self._smaller(tiles, length)
        fix = "hardware.precision=fp32; if the weights give the same there, they are broken"
        spoilt = NotFiniteError(f"The network gave NaN or infinity in {self.precision}.", fix=fix)
        return [spoilt if tile is None else tile for tile in large]

    def _precision_for(self, kind: np.dtype[np.unsignedinteger]) -> Precision:
        """Compute 16-bit photos in fp32 unless told otherwise: bf16 has 8 bits, fp16 has 11."""
        return "fp32" if kind == np.uint16 and self.hardware.precision == "auto" else self.precision

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
        n_pixels = tile.shape[0] * tile.shape[1]
        n_bytes = n_pixels * self._bytes_per_pixel(tile.dtype)
        if not self.executor.stacks:
            length: float = min(self.executor.n_at_once, CPU_BYTES // n_bytes)
        elif self.hardware.batch_size == "auto":
            length = min(CUDA_BATCH_PIXELS // n_pixels, self._memory() // n_bytes)
        else:
            length = self.hardware.batch_size
        return int(max(1, min(length, self._largest_batch)))

    def _bytes_per_pixel(self, kind: np.dtype[np.unsignedinteger]) -> int:
        return self.network.bytes_per_pixel * DTYPES[self._precision_for(kind)].itemsize

    def _memory(self) -> int:
        """Return the bytes one pass may take; the same on every run, so that tiles are, too."""
        if self.executor.device.type == "cpu":
            return CPU_BYTES // 2
        return int(torch.cuda.get_device_properties(self.executor.device).total_memory * CUDA_SHARE)

    # Memory that was not there

    def _smaller(self, tiles: Sequence[Pixels], length: int) -> list[Pixels | ImageError]:
        """Halve the batch, or else the tile."""
        if length == 1:
            return [self._in_parts(tile) for tile in tiles]
        half = length // 2
        self._largest_batch = min(self._largest_batch, half)
        log.warning("out of memory with %d tiles of %s: %d from here on", length, _shape(tiles[0]), half)
        parts = [tiles[start : start + half] for start in range(0, len(tiles), half)]
        return [large for part in parts for large in self._computed(part, half)]

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
            (large,) = self._computed([part], 1)
            if isinstance(large, ImageError):
                return large
            canvas.paste(large)
        return canvas.pixels


def _padded(pixels: Pixels, multiple: int, minimum: int) -> Pixels:
    """Reflect at the right and lower border up to the sides the network needs."""
    height, width = pixels.shape[:2]
    rows, columns = (-(-max(side, minimum) // multiple) * multiple - side for side in (height, width))
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="reflect") if rows or columns else pixels


def _shape(tile: Pixels) -> str:
    return f"{tile.shape[1]}x{tile.shape[0]}"
