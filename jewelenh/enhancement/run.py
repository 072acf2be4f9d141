"""The enhancement stage: files in, enlarged PNG files out, with decoding, network and encoding at the same time.

    decode threads -> Upscaler.upscale_many (this thread, threads of its own) -> encode threads -> stage

Every step holds a bounded number of photos, so memory does not grow with the number of photos.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from jewelenh.config import Enhancer, Hardware, Shard
from jewelenh.enhancement.batching import NotFiniteError
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancement.weights import identity_of
from jewelenh.errors import ImageError
from jewelenh.hardware import n_cores
from jewelenh.images import Photo, encode_png
from jewelenh.manifest import Item
from jewelenh.progress import Advance, progress
from jewelenh.stage import Selection, Stage, check_failures, open_stage

log = logging.getLogger(__name__)

ENCODING_BYTES = 1 << 30
"""Enlarged photos that wait for their PNG; one that is larger waits alone."""


def enhance(
    photos: Selection,
    level: str,
    enhancer: Enhancer,
    data_dir: Path,
    cache_dir: Path | None,
    *,
    hardware: Hardware = Hardware(),
    shard: Shard | None = None,
    on_error: str = "stop",
) -> Selection:
    """Enlarge `photos` into `data_dir/enhanced/<level>-<fingerprint>`, redoing only what is missing or changed.

    With `shard.count` above 1 only this shard's photos are made; the selection holds what all shards have finished.

    Raises:
        WeightsError, ConfigError: an invalid enhancer; nothing has been written.
        NotFiniteError: the network gave NaN and `on_error` is `stop`.
        ItemsFailedError: some photos could not be made and `on_error` is `stop`; the others are finished.
    """
    shard = shard or Shard()
    spec = {"upstream": photos.fingerprint, "enhancer": identity_of(enhancer)}
    mine = [item for item in photos.items if shard_of(item.stem, shard.count) == shard.index]
    with open_stage(data_dir / "enhanced", level, "enhanced", spec, shard=shard) as stage:
        todo = [item for item in mine if not stage.is_finished(item.stem, item.files["image"].sha256)]
        if todo:
            upscaler = Upscaler.load(enhancer, hardware, cache_dir)
            with progress(f"enhance {level}", len(todo)) as advance:
                _Run(stage, photos, upscaler, advance, stops=on_error != "skip").work(todo)
        selection = stage.commit([item.stem for item in photos.items])
    if shard.count > 1:
        n_done, n_all = len(selection.items), len(photos.items)
        rest = "the stage is complete" if n_done == n_all else f"{n_all - n_done} are left to the other shards"
        about = f"shard {shard.index} of {shard.count} ({len(mine)} photos)"
        log.info("enhance %s, %s: %d of %d photos are done, %s", level, about, n_done, n_all, rest)
    check_failures(selection, f"enhance {level}", on_error)
    return selection


def shard_of(stem: str, count: int) -> int:
    """Return which of `count` shards makes `stem`: by hash, so that further photos move none of the earlier ones."""
    return int.from_bytes(hashlib.sha256(stem.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count


class _Run:
    """One run over the photos that are not finished yet; what fails is noted in the stage."""

    def __init__(self, stage: Stage, photos: Selection, upscaler: Upscaler, advance: Advance, stops: bool) -> None:
        self.stage, self.photos, self.upscaler, self.advance, self.stops = stage, photos, upscaler, advance, stops
        self._encoding: deque[tuple[Future[None], int]] = deque()
        """What is being encoded, and its bytes."""

    def work(self, todo: Sequence[Item]) -> None:
        """Enlarge all of `todo`."""
        n_threads = min(8, n_cores())
        items = {item.stem: item for item in todo}
        decoders, encoders = ThreadPoolExecutor(n_threads, "decode"), ThreadPoolExecutor(n_threads, "encode")
        try:
            for stem, result in self.upscaler.upscale_many(self._decoded(todo, decoders, 2 * n_threads)):
                if isinstance(result, ImageError):
                    self._fail(stem, result)
                    continue
                self._make_room(result.pixels.nbytes)
                self._encoding.append((encoders.submit(self._save, items[stem], result), result.pixels.nbytes))
            self._make_room(ENCODING_BYTES + 1)
        finally:
            decoders.shutdown(cancel_futures=True)
            encoders.shutdown(cancel_futures=True)

    def _decoded(self, todo: Sequence[Item], pool: ThreadPoolExecutor, n_ahead: int) -> Iterator[tuple[str, Photo]]:
        """Yield photos in order, decoded `n_ahead` of need."""
        waiting: deque[Future[Photo]] = deque(pool.submit(self.photos.photo, item) for item in todo[:n_ahead])
        for number, item in enumerate(todo, start=n_ahead):
            if number < len(todo):
                waiting.append(pool.submit(self.photos.photo, todo[number]))
            try:
                photo = waiting.popleft().result()
            except ImageError as error:
                self._fail(item.stem, error)
            else:
                yield item.stem, photo

    def _fail(self, stem: str, error: ImageError) -> None:
        if self.stops and isinstance(error, NotFiniteError):
            raise NotFiniteError(error.what, where=stem, fix=error.fix)  # all others would come out the same
        self.stage.fail(stem, str(error))
        self.advance()

    def _make_room(self, n_bytes: int) -> None:
        """Wait until `n_bytes` more may wait for their encoding; raise what went wrong with those before."""
        while self._encoding and sum(size for _, size in self._encoding) + n_bytes > ENCODING_BYTES:
            self._encoding.popleft()[0].result()

    def _save(self, item: Item, photo: Photo) -> None:
        source, network = item.files["image"].sha256, self.upscaler.network
        record = {
            "photo": item.record["photo"],
            "variant": item.record.get("variant"),
            "source": source,
            "scale": network.scale,
            "architecture": network.architecture,
            "precision": self.upscaler.precision,
        }
        try:
            data = encode_png(photo)
        except ImageError as error:
            self.stage.fail(item.stem, str(error))
        else:
            self.stage.save(item.stem, source, {"image": (f"{item.stem}.png", data)}, record)
        self.advance()
