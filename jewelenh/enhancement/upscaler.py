"""Photo in, larger photo out, many at a time: windows, batches, memory, alpha and bit depth around the network.

    Upscaler.load(enhancer).upscale(photo) -> photo
    Upscaler.load(enhancer).upscale_many((key, photo), ...) -> (key, photo or ImageError), ...

A photo that fits goes through whole; a larger one in windows (`tiling`). Colours and alpha are planes of their own.
A window's bytes do not depend on what shares its batch (`lanes`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch

from jewelenh.config import Enhancer, Hardware
from jewelenh.enhancement.lanes import CpuLane, CudaLane, Forward, Forwards
from jewelenh.enhancement.network import Network, load_network
from jewelenh.enhancement.weights import find_weights
from jewelenh.enhancement.windows import Windows
from jewelenh.errors import ConfigError, ImageError
from jewelenh.hardware import DTYPES, Precision, choose_precision, find_device
from jewelenh.images import Photo, Pixels

log = logging.getLogger(__name__)

OPEN_BYTES = 1 << 30
"""Results under way at once; a photo whose result alone is larger runs alone."""

K = TypeVar("K", bound=Hashable)


class Upscaler:
    """A super-resolution network, ready for photos of any size."""

    def __init__(self, network: Network, enhancer: Enhancer, hardware: Hardware = Hardware()) -> None:
        self.network, self.enhancer, self.hardware = network, enhancer, hardware
        self.device = find_device(hardware.device)
        self.precision: Precision = self._supported_precision()
        self._forwards = Forwards(network, self.device, self.precision, enhancer.strength, hardware.compile)
        log.info("enhancer runs on %s in %s, engine %s", self.device, self.precision, enhancer.engine)

    @classmethod
    def load(cls, enhancer: Enhancer, hardware: Hardware = Hardware(), cache_dir: Path | None = None) -> Upscaler:
        """Find, check and read the weights (downloaded on first use), and choose device and precision.

        Raises:
            WeightsError: the weights cannot be had or used.
            ConfigError: a device or precision that this machine or network has not.
        """
        network = load_network(find_weights(enhancer), cache_dir)
        if enhancer.engine == "official":
            from jewelenh.enhancement.official import OfficialUpscaler

            return OfficialUpscaler(network, enhancer, hardware)
        return cls(network, enhancer, hardware)

    @property
    def scale(self) -> int:
        """Return how many times larger the result's sides are."""
        return self.network.scale

    @property
    def architecture(self) -> str:
        """Return the network's architecture, for records and logs."""
        return self.network.architecture

    def upscale(self, photo: Photo) -> Photo:
        """Enlarge one photo; alpha, bit depth, greyness, profile and EXIF are kept.

        Raises:
            ImageError: not enough memory for the smallest window, or NaN in the result.
        """
        ((_, result),) = self._upscale_by(self._open_lane(alone=True), [("photo", photo)])
        if isinstance(result, ImageError):
            raise result
        return result

    def upscale_many(self, photos: Iterable[tuple[K, Photo]]) -> Iterator[tuple[K, Photo | ImageError]]:
        """Enlarge photos as they come, in flat memory; results come in another order, each with its key."""
        yield from self._upscale_by(self._open_lane(alone=False), photos)

    def _upscale_by(
        self, lane: CpuLane | CudaLane, photos: Iterable[tuple[K, Photo]]
    ) -> Iterator[tuple[K, Photo | ImageError]]:
        try:
            windows = Windows(self.network, lane, self.hardware, self.device, self.precision)
            open_jobs: deque[_Job[K]] = deque()
            for key, photo in photos:
                job = _Job(key, photo, self.network)
                if open_jobs and sum(other.n_bytes for other in open_jobs) + job.n_bytes > OPEN_BYTES:
                    windows.finish()
                    yield from _finished(open_jobs)
                open_jobs.append(job)
                for pixels in job.planes():
                    windows.add(pixels, job.receive)
                yield from _finished(open_jobs)
            windows.finish()
            yield from _finished(open_jobs)
        finally:
            lane.close()

    def _open_lane(self, alone: bool) -> CpuLane | CudaLane:
        if self.device.type == "cuda":
            return CudaLane(self._forward_for, self.device)
        n_threads = torch.get_num_threads()
        # A photo alone gets all cores; so does compiled code, which has its thread count built in.
        return CpuLane(self._forward_for, n_threads, 1 if alone or self.hardware.compile else min(n_threads, 8))

    def _forward_for(self, kind: np.dtype[np.unsignedinteger]) -> Forward:
        """16-bit photos are computed in fp32 unless told otherwise: bf16 has 8 bits, fp16 has 11."""
        deep = kind == np.uint16 and self.hardware.precision == "auto"
        return self._forwards.at("fp32" if deep else self.precision)

    def _supported_precision(self) -> Precision:
        precision = choose_precision(self.hardware.precision, self.device)
        if DTYPES[precision] in self.network.dtypes:
            return precision
        if self.hardware.precision == "auto":
            return "fp32"
        raise ConfigError(
            f"hardware.precision={precision} does not work with {self.network.architecture}.",
            expected="fp32 or auto",
            fix="hardware.precision=fp32",
        )


@dataclass
class _Job(Generic[K]):
    """A photo under way: its planes go out, their results come back in the same order."""

    key: K
    photo: Photo
    network: Network
    _results: list[Pixels | ImageError] = field(default_factory=list)
    _n_planes: int = 0

    @property
    def n_bytes(self) -> int:
        """Return the size of the result."""
        return int(self.photo.pixels.nbytes) * self.network.scale**2

    def planes(self) -> list[Pixels]:
        """Return what goes through the network: colours, and alpha unless it is the same everywhere."""
        planes = [self.photo.pixels]
        alpha = self.photo.alpha
        if alpha is not None and not (alpha == alpha.flat[0]).all():
            planes.append(np.repeat(alpha[..., None], 3, axis=2))
        self._n_planes = len(planes)
        return planes

    def receive(self, result: Pixels | ImageError) -> None:
        """Take the result of the next plane."""
        self._results.append(result)

    @property
    def is_done(self) -> bool:
        """Say whether all planes are back."""
        return self._n_planes > 0 and len(self._results) == self._n_planes

    def result(self) -> Photo | ImageError:
        """Join the planes."""
        pixels, *rest = self._results
        if isinstance(pixels, ImageError):
            return pixels
        alpha = rest[0] if rest else None
        if isinstance(alpha, ImageError):
            return alpha
        if self.photo.is_grey:
            pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        if alpha is not None:
            alpha = np.asarray(cv2.cvtColor(alpha, cv2.COLOR_RGB2GRAY))
        elif self.photo.alpha is not None:
            alpha = np.full(pixels.shape[:2], self.photo.alpha.flat[0], pixels.dtype)
        return self.photo.with_pixels(pixels, alpha)


def _finished(jobs: deque[_Job[K]]) -> Iterator[tuple[K, Photo | ImageError]]:
    for _ in range(len(jobs)):
        job = jobs.popleft()
        if job.is_done:
            yield job.key, job.result()
        else:
            jobs.append(job)
