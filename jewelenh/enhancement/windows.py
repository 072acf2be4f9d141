"""Planes cut into windows, windows into batches, and what happens when memory runs out.

Memory that a device turns out not to have is handled where it is missing: the batch is halved, then the window, and
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
from jewelenh.enhancement.lanes import Lane, Pending, Result
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
"""Windows that wait for others of their size before they go as a smaller batch."""

Receiver = Callable[[Pixels | ImageError], None]


class NotFiniteError(ImageError):
    """A network gave NaN or infinity."""


@dataclass
class _Plane:
    """One plane under way; `canvas` is None where one window is all of it."""

    size: tuple[int, int]
    """Height and width before padding."""
    n_left: int
    canvas: Canvas | None
    receive: Receiver
    error: ImageError | None = None


_Batch = list[tuple[_Plane, Pixels]]


class Windows:
    """Keeps a lane busy with batches of equal windows, and hands every finished plane to its receiver."""

    def __init__(
        self, network: Network, lane: Lane, hardware: Hardware, device: torch.device, precision: Precision
    ) -> None:
        self.network, self.lane, self.hardware = network, lane, hardware
        self.device, self.precision = device, precision
        self.overlap = overlap_for(network.radius_px)
        self._waiting: dict[tuple[tuple[int, ...], str], _Batch] = {}
        self._under_way: deque[tuple[_Batch, int, Pending]] = deque()
        self._largest_batch = math.inf
        self._failed_pixels = math.inf
        """Pixels of the smallest window that memory did not suffice for."""

    def add(self, pixels: Pixels, receive: Receiver) -> None:
        """Cut a plane (H, W, 3) and queue its windows; `receive` gets the result sooner or later."""
        size = (pixels.shape[0], pixels.shape[1])
        pixels = _padded(pixels, self.network.multiple, self.network.minimum)
        plan = self._plan(pixels)
        canvas = Canvas(plan, self.network.scale, pixels.dtype) if len(plan) > 1 else None
        plane = _Plane(size, len(plan), canvas, receive)
        for index in range(len(plan)):
            window = plan.cut(pixels, index)
            group = self._waiting.setdefault((window.shape, window.dtype.str), [])
            group.append((plane, window))
            if len(group) >= self._batch_length(window):
                self._start(self._waiting.pop((window.shape, window.dtype.str)))
        if sum(map(len, self._waiting.values())) > MAX_WAITING:
            self._start_all()

    def finish(self) -> None:
        """Work off everything that waits."""
        self._start_all()
        while self._under_way:
            self._collect()

    def _start_all(self) -> None:
        for group in list(self._waiting):
            self._start(self._waiting.pop(group))

    def _start(self, batch: _Batch) -> None:
        while len(self._under_way) >= self.lane.depth or (self._under_way and self._is_crowded_by(batch)):
            self._collect()
        windows, length = [window for _, window in batch], self._batch_length(batch[0][1])
        pending = _unless_out_of_memory(lambda: self.lane.submit(windows, length))
        self._under_way.append((batch, length, pending or _out_of_memory))

    def _is_crowded_by(self, batch: _Batch) -> bool:
        """Say whether a CPU would hold more than `CPU_BYTES` with this batch; cards hold two batches by choice."""
        windows = [window for others, _, _ in self._under_way for _, window in others] + [window for _, window in batch]
        n_bytes = sum(w.shape[0] * w.shape[1] * self._bytes_per_pixel(w.dtype) for w in windows)
        return self.device.type == "cpu" and n_bytes > CPU_BYTES

    def _collect(self) -> None:
        """Wait for the oldest batch and hand its windows to their planes, in order."""
        batch, length, pending = self._under_way.popleft()
        result = _unless_out_of_memory(pending)
        del pending  # a failed one holds on to the frames of its error, and to their memory
        large = self._checked(result) if result else self._again([window for _, window in batch], length)
        for (plane, _), window in zip(batch, large, strict=True):
            self._deliver(plane, window)

    def _checked(self, result: Result) -> list[Pixels | ImageError]:
        pixels, is_finite = result
        return [window if finite else self._not_finite() for window, finite in zip(pixels, is_finite, strict=False)]

    def _deliver(self, plane: _Plane, window: Pixels | ImageError) -> None:
        plane.n_left -= 1
        if isinstance(window, ImageError):
            plane.error = plane.error or window
        elif plane.canvas is not None and plane.error is None:
            plane.canvas.paste(window)
        if plane.n_left:
            return
        if plane.error is not None or isinstance(window, ImageError):
            plane.receive(plane.error or window)
            return
        height, width = plane.size[0] * self.network.scale, plane.size[1] * self.network.scale
        whole = window if plane.canvas is None else plane.canvas.pixels
        plane.receive(np.ascontiguousarray(whole[:height, :width]))

    def _not_finite(self) -> NotFiniteError:
        fix = "hardware.precision=fp32; if the weights give the same there, they are broken"
        return NotFiniteError(f"The network gave NaN or infinity in {self.precision}.", fix=fix)

    # Sizes that fit ---------------------------------------------------------------------------------------------------

    def _plan(self, pixels: Pixels) -> Plan:
        """Choose the windows: the whole plane where it fits, else what memory and `hardware.tile` say."""
        height, width = pixels.shape[:2]
        side, multiple = max(height, width), self.network.multiple
        if isinstance(self.hardware.tile, int):
            side = min(side, self.hardware.tile + self.overlap.shared)
        elif self.hardware.tile == "auto":
            fitting = self._memory() // self._bytes_per_pixel(pixels.dtype)
            side = side if height * width <= fitting else min(side, math.isqrt(fitting))
        while min(side, height) * min(side, width) >= self._failed_pixels and (smaller := self._halved(side)):
            side = smaller
        return Plan.of(height, width, -(-side // multiple) * multiple, self.overlap, multiple)

    def _halved(self, side: int) -> int | None:
        """Return half a window's side, or None where it would be little more than overlap, or tiling is off."""
        half = side // 2 // self.network.multiple * self.network.multiple
        return half if self.hardware.tile is not None and half >= self.overlap.shared + 8 else None

    def _batch_length(self, window: Pixels) -> int:
        """Return how many windows of this size make a batch; the same for all photos of a size."""
        height, width = window.shape[:2]
        if not self.lane.takes_batches:
            return 1
        if isinstance(self.hardware.batch_size, int):
            length = self.hardware.batch_size
        else:
            fitting = self._memory() // (height * width * self._bytes_per_pixel(window.dtype))
            length = max(1, min(CUDA_BATCH_PIXELS // (height * width), fitting))
        return int(min(length, self._largest_batch))

    def _bytes_per_pixel(self, kind: np.dtype[np.unsignedinteger]) -> int:
        is_deep = kind == np.uint16 and self.hardware.precision == "auto"
        return self.network.bytes_per_pixel * (4 if is_deep else DTYPES[self.precision].itemsize)

    def _memory(self) -> int:
        """Return the bytes one pass may take; the same on every run, so that windows are, too."""
        if self.device.type == "cpu":
            return CPU_BYTES // 2
        return int(torch.cuda.get_device_properties(self.device).total_memory * CUDA_SHARE)

    # Memory that was not there ----------------------------------------------------------------------------------------

    def _again(self, windows: list[Pixels], length: int) -> list[Pixels | ImageError]:
        """Redo a batch that ran out of memory, alone on the device."""
        self._under_way = deque((batch, n, _settled(pending)) for batch, n, pending in self._under_way)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.lane.depth > 1:
            self.lane.depth //= 2
            log.warning("out of memory: %d batches under way from here on", self.lane.depth)
            return self._now(windows, length)
        return self._smaller(windows, length)

    def _now(self, windows: list[Pixels], length: int) -> list[Pixels | ImageError]:
        result = _unless_out_of_memory(lambda: self.lane.run(windows, length))
        return self._checked(result) if result else self._smaller(windows, length)

    def _smaller(self, windows: list[Pixels], length: int) -> list[Pixels | ImageError]:
        """Halve the batch, or else the window."""
        if length == 1:
            return [self._in_parts(window) for window in windows]
        half = length // 2
        self._largest_batch = min(self._largest_batch, half)
        log.warning("out of memory with %d windows of %s: %d from here on", length, _shape(windows[0]), half)
        parts = [windows[start : start + half] for start in range(0, len(windows), half)]
        return [large for part in parts for large in self._now(part, half)]

    def _in_parts(self, window: Pixels) -> Pixels | ImageError:
        """Compute a window that is too large by windows of half its side."""
        height, width = window.shape[:2]
        self._failed_pixels = min(self._failed_pixels, height * width)
        side = self._halved(max(height, width))
        if side is None:
            tiled = self.hardware.tile is not None
            fix = "a smaller photo or more memory" if tiled else "hardware.tile=auto"
            return ImageError(f"Memory does not suffice for {_shape(window)} pixels in one pass.", fix=fix)
        log.warning("out of memory with one window of %s: in parts of %d px from here on", _shape(window), side)
        plan = Plan.of(height, width, side, self.overlap, self.network.multiple)
        canvas = Canvas(plan, self.network.scale, window.dtype)
        for index in range(len(plan)):
            (large,) = self._now([plan.cut(window, index)], 1)
            if isinstance(large, ImageError):
                return large
            canvas.paste(large)
        return canvas.pixels


T = TypeVar("T")


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


def _out_of_memory() -> Result:
    raise torch.OutOfMemoryError("could not be started")


def _settled(pending: Pending) -> Pending:
    """Wait for a batch, so that it no longer needs memory of its own, and keep what came of it."""
    result = _unless_out_of_memory(pending)
    return _out_of_memory if result is None else lambda: result


def _padded(pixels: Pixels, multiple: int, minimum: int) -> Pixels:
    """Reflect at the right and lower border up to the sides the network needs."""
    height, width = pixels.shape[:2]
    rows, columns = (-(-max(side, minimum) // multiple) * multiple - side for side in (height, width))
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="reflect") if rows or columns else pixels


def _shape(window: Pixels) -> str:
    return f"{window.shape[1]}x{window.shape[0]}"
