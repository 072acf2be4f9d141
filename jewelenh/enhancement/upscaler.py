"""Photo in, larger photo out, many at a time: batches, memory, alpha and bit depth around the network.

    Upscaler.load(enhancer).upscale(photo) -> photo
    Upscaler.load(enhancer).upscale_many((key, photo), ...) -> (key, photo or ImageError), ...

A photo that fits goes through whole; a larger one in tiles (`tiling`). Colours and alpha are planes of their own.
A tile's bytes do not depend on what shares its batch (`batching`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np

from jewelenh.config import Enhancer, Hardware
from jewelenh.enhancement.batching import Batches, Executor
from jewelenh.enhancement.network import Network, load_network
from jewelenh.enhancement.weights import find_weights
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
        self.device, self.official = find_device(hardware.device), None
        if enhancer.engine == "official":
            from jewelenh.enhancement.official import OfficialEngine

            self.official = OfficialEngine(network, enhancer.strength, hardware, self.device)
        self.precision: Precision = self.official.precision if self.official else self._supported_precision()
        self.executor = Executor(network, self.device, enhancer.strength, hardware.compile)
        log.info("enhancer runs on %s in %s, engine %s", self.device, self.precision, enhancer.engine)

    @classmethod
    def load(cls, enhancer: Enhancer, hardware: Hardware = Hardware(), cache_dir: Path | None = None) -> Upscaler:
        """Find, check and read the weights (downloaded on first use), and choose device and precision.

        Raises:
            WeightsError: the weights cannot be had or used.
            ConfigError: a device or precision that this machine or network has not.
        """
        return cls(load_network(find_weights(enhancer), cache_dir), enhancer, hardware)

    @property
    def scale(self) -> int:
        """Return how many times larger the result's sides are."""
        return self.network.scale

    def upscale(self, photo: Photo) -> Photo:
        """Enlarge one photo; alpha, bit depth, greyness, profile and EXIF are kept.

        Raises:
            ImageError: not enough memory for the smallest tile, or NaN in the result.
        """
        ((_, result),) = self.upscale_many([("photo", photo)])
        if isinstance(result, ImageError):
            raise result
        return result

    def upscale_many(self, photos: Iterable[tuple[K, Photo]]) -> Iterator[tuple[K, Photo | ImageError]]:
        """Yield (key, enlarged photo or what went wrong with it), in any order."""
        batches = self.official or Batches(self.executor, self.hardware, self.precision)
        under_way: deque[_Enlargement[K]] = deque()
        for key, photo in photos:
            one = _Enlargement(key, photo, self.network.scale)
            if under_way and sum(other.n_bytes for other in under_way) + one.n_bytes > OPEN_BYTES:
                batches.finish()
                yield from _finished(under_way)
            under_way.append(one)
            for pixels in one.planes:
                batches.add(pixels, one.results.append)
            yield from _finished(under_way)
        batches.finish()
        yield from _finished(under_way)

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


class _Enlargement(Generic[K]):
    """A photo under way: its planes go out, their results come back in the same order."""

    def __init__(self, key: K, photo: Photo, scale: int) -> None:
        self.key, self.photo = key, photo
        self.n_bytes = int(photo.pixels.nbytes) * scale**2
        self.planes = [photo.pixels]
        """Colours, and alpha unless it is the same everywhere."""
        if photo.alpha is not None and not (photo.alpha == photo.alpha.flat[0]).all():
            self.planes.append(np.repeat(photo.alpha[..., None], 3, axis=2))
        self.results: list[Pixels | ImageError] = []

    def result(self) -> Photo | ImageError:
        """Join the planes."""
        pixels, *rest = self.results
        alpha = rest[0] if rest else None
        if isinstance(pixels, ImageError):
            return pixels
        if isinstance(alpha, ImageError):
            return alpha
        if self.photo.is_grey:
            pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        if alpha is not None:
            alpha = np.asarray(cv2.cvtColor(alpha, cv2.COLOR_RGB2GRAY))
        elif self.photo.alpha is not None:
            alpha = np.full(pixels.shape[:2], self.photo.alpha.flat[0], pixels.dtype)
        return self.photo.with_pixels(pixels, alpha)


def _finished(under_way: deque[_Enlargement[K]]) -> Iterator[tuple[K, Photo | ImageError]]:
    for _ in range(len(under_way)):
        one = under_way.popleft()
        if len(one.results) == len(one.planes):
            yield one.key, one.result()
        else:
            under_way.append(one)
