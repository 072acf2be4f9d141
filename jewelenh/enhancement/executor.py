"""Where batches of equal tiles go through the network: on a CPU or on a CUDA device, with one interface.

A batch goes in as a list of uint8 or uint16 arrays (H, W, 3) and comes out as one array (B, H * scale, W * scale, 3) of
the same type, plus a flag for each that says whether all of its values were finite.

CPU: one batch per core, each computed by one thread. Measured on 2 cores (general_x4v3, bf16, 262x262): 0.43 s a photo
against 1.1 s with both threads on one photo, while other programs took a share of the cores: threads that share a layer
wait for the slowest at every layer. Bytes are the same either way. Batches bring nothing here and are not made.
CUDA: batches of one fixed length, so that cuDNN picks the same kernels whatever is left for the last one; upload,
network and download on three streams with pinned memory, so that they overlap.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from jewelenh.enhancement.network import Network
from jewelenh.hardware import DTYPES, Precision
from jewelenh.images import Pixels, from_unit, to_unit

Result = tuple[Pixels, npt.NDArray[np.bool_]]
Pending = Callable[[], Result]
"""Waits for a batch and returns its result; raises what went wrong, running out of memory for one."""
_SMALL_INPUT = 20480
"""PyTorch convolves a single fp32 input of at most so many numbers by another kernel than all others (`use_mkldnn` in
its Convolution.cpp), with other last bits. Such photos go in twice, so that a tile has the bytes of the whole."""


@dataclass(frozen=True)
class Forward:
    """The computation itself: integers to [0, 1], network, blend with bicubic, back to integers, all on the device."""

    network: Callable[[Tensor], Tensor]
    scale: int
    dtype: torch.dtype
    strength: float

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Map integers (B, H, W, 3) to integers (B, H * scale, W * scale, 3) and finite flags (B,)."""
        unit = to_unit(batch.permute(0, 3, 1, 2))  # (B, 3, H, W); its memory is channels_last already
        large = self.network(unit.to(self.dtype))
        is_finite = large.sum(dim=(1, 2, 3), dtype=torch.float32).isfinite()
        if self.strength < 1:
            # Both libraries' bicubic: Keys' kernel with a = -0.75; it reaches 2 px, which every tile margin covers.
            bicubic = functional.interpolate(unit, scale_factor=self.scale, mode="bicubic")
            large = torch.lerp(bicubic.clamp(0, 1), large.float().clamp(0, 1), self.strength)
        return from_unit(large.permute(0, 2, 3, 1), batch.dtype).contiguous(), is_finite


class Forwards:
    """A network in the precisions it is asked for, each made once: 16-bit photos want fp32 where 8-bit ones do not."""

    def __init__(self, network: Network, device: torch.device, strength: float, compiles: bool) -> None:
        self.network, self.device, self.strength, self.compiles = network, device, strength, compiles
        self._made: dict[str, Forward] = {}
        self._guard = threading.Lock()

    def at(self, precision: Precision) -> Forward:
        """Return the forward pass in `precision`, in channels_last memory.

        Made under a lock: `Module.to` swaps the storage of weights in place, and a thread that computes with them
        meanwhile may read freed memory (the likely cause of NaN that was seen once).
        """
        with self._guard:
            if precision not in self._made:
                dtype = DTYPES[precision]
                module = copy.deepcopy(self.network.module)  # the weights as they were read stay for the next precision
                module = module.to(device=self.device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
                run = torch.compile(module) if self.compiles else module
                self._made[precision] = Forward(run, self.network.scale, dtype, self.strength)
            return self._made[precision]


class CpuExecutor:
    """One thread for each tile, as many tiles as cores."""

    takes_batches, device = False, torch.device("cpu")

    def __init__(
        self, forward: Callable[[np.dtype[np.unsignedinteger]], Forward], n_threads: int, n_at_once: int
    ) -> None:
        self.forward = forward
        self.depth = 2 * n_at_once  # as many wait: results are taken in order, and no core stands still for a slow one
        self._n_threads = n_threads
        each = max(1, n_threads // n_at_once)
        self._pool = ThreadPoolExecutor(n_at_once, "enhance", initializer=torch.set_num_threads, initargs=(each,))

    def submit(self, batch: Sequence[Pixels], length: int) -> Pending:
        """Start a batch of at most `length` tiles, which is 1."""
        future: Future[Result] = self._pool.submit(self._compute, batch)
        return future.result

    def run(self, batch: Sequence[Pixels], length: int) -> Result:
        """Compute one batch in the calling thread, which has all cores."""
        return self._compute(batch)

    def _compute(self, batch: Sequence[Pixels]) -> Result:
        (tile,) = batch
        n_copies = 2 if tile.size <= _SMALL_INPUT else 1
        stacked = np.repeat(tile[None], n_copies, axis=0)  # a copy: PyTorch wants its own, writable and contiguous
        large, is_finite = self.forward(tile.dtype)(torch.from_numpy(stacked))
        return large.numpy()[:1], is_finite.numpy()[:1]

    def close(self) -> None:
        """End the threads; PyTorch gives threads of later pools the count that was set last, so set it back."""
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._n_threads)


class CudaExecutor:
    """Three streams and pinned memory; two batches under way while a third is prepared."""

    takes_batches = True

    def __init__(self, forward: Callable[[np.dtype[np.unsignedinteger]], Forward], device: torch.device) -> None:
        self.forward, self.device, self.depth = forward, device, 2
        self._upload, self._compute, self._download = (torch.cuda.Stream(device) for _ in range(3))  # type: ignore[no-untyped-call]

    def submit(self, batch: Sequence[Pixels], length: int) -> Pending:
        """Queue upload, network and download; an allocation that fails is raised here, the rest when waited for."""
        first = batch[0]
        # Pinned blocks come from PyTorch's cache of them and return to it once their copy is over.
        kind = torch.from_numpy(np.empty(0, first.dtype)).dtype
        staged = torch.zeros((length, *first.shape), dtype=kind, pin_memory=True)
        np.stack(batch, out=staged.numpy()[: len(batch)])
        with torch.cuda.device(self.device), torch.cuda.stream(self._upload):
            on_device = staged.to(self.device, non_blocking=True)
        with torch.cuda.device(self.device), torch.cuda.stream(self._compute), _repeatable():
            self._compute.wait_stream(self._upload)
            on_device.record_stream(self._compute)
            large, is_finite = self.forward(first.dtype)(on_device)
        with torch.cuda.device(self.device), torch.cuda.stream(self._download):
            self._download.wait_stream(self._compute)
            large.record_stream(self._download)
            is_finite.record_stream(self._download)
            back = torch.empty(large.shape, dtype=large.dtype, pin_memory=True).copy_(large, non_blocking=True)
            flags = torch.empty(is_finite.shape, dtype=torch.bool, pin_memory=True).copy_(is_finite, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._download)

        def wait() -> Result:
            done.synchronize()
            return back.numpy()[: len(batch)], flags.numpy()[: len(batch)]

        return wait

    def run(self, batch: Sequence[Pixels], length: int) -> Result:
        """Compute one batch and wait for it."""
        return self.submit(batch, length)()

    def close(self) -> None:
        """Wait for what is under way."""
        torch.cuda.synchronize(self.device)


Executor = CpuExecutor | CudaExecutor
"""A device with room for `depth` batches at once; where it `takes_batches`, they may be longer than one tile."""


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Same kernels every time, and fp32 that is fp32 (not TF32)."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
