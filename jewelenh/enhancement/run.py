"""The enhancement stage: files in, enlarged PNG files out, with decoding, network and encoding at the same time.

    decode threads -> Upscaler.upscale_many (this thread, lanes of its own) -> encode threads -> stage

Every step holds a bounded number of photos, so memory does not grow with the number of photos.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jewelenh.config import Enhancer, Hardware, Shard
from jewelenh.enhancement.weights import identity_of
from jewelenh.errors import ImageError
from jewelenh.images import Photo, decode, encode_png, read_bytes
from jewelenh.manifest import Item, sha256_of
from jewelenh.progress import Advance, progress
from jewelenh.stage import Selection, Stage, check_failures, open_stage

if TYPE_CHECKING:
    from jewelenh.enhancement.upscaler import Upscaler

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
        WeightsError, ConfigError: the enhancer cannot be used; nothing has been written.
        NotFiniteError: the network gave NaN and `on_error` is `stop`.
        ItemsFailedError: some photos could not be made and `on_error` is `stop`; the others are finished.
    """
    from jewelenh.enhancement.upscaler import Upscaler

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
    _report_shard(selection, level, shard, len(mine), len(photos.items))
    check_failures(selection, f"enhance {level}", on_error)
    return selection


def shard_of(stem: str, count: int) -> int:
    """Return which of `count` shards makes `stem`: by hash, so that further photos move none of the earlier ones."""
    return int.from_bytes(hashlib.sha256(stem.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count


def _report_shard(selection: Selection, level: str, shard: Shard, n_mine: int, n_all: int) -> None:
    if shard.count == 1:
        return
    n_done = len(selection.items)
    rest = "the stage is complete" if n_done == n_all else f"{n_all - n_done} are left to the other shards"
    log.info(
        "enhance %s, shard %d of %d (%d photos): %d of %d photos are done, %s",
        *(level, shard.index, shard.count, n_mine, n_done, n_all, rest),
    )


@dataclass
class _Run:
    """One run over the photos that are not finished yet."""

    stage: Stage
    photos: Selection
    upscaler: Upscaler
    advance: Advance
    stops: bool
    _encoding: dict[Future[None], int] = field(default_factory=dict)
    """What is being encoded, and its bytes."""

    def work(self, todo: Sequence[Item]) -> None:
        """Enlarge all of `todo`; what fails is noted in the stage."""
        n_threads = min(8, os.cpu_count() or 1)
        items = {item.stem: item for item in todo}
        decoders = ThreadPoolExecutor(n_threads, "decode")
        encoders = ThreadPoolExecutor(n_threads, "encode")
        try:
            for stem, result in self.upscaler.upscale_many(self._decoded(todo, decoders, 2 * n_threads)):
                if isinstance(result, ImageError):
                    self._fail(stem, result)
                    continue
                self._make_room(result.pixels.nbytes)
                future = encoders.submit(self._save, items[stem], result)
                self._encoding[future] = result.pixels.nbytes
            self._make_room(ENCODING_BYTES + 1)
        finally:
            decoders.shutdown(cancel_futures=True)
            encoders.shutdown(cancel_futures=True)

    def _decoded(self, todo: Sequence[Item], pool: ThreadPoolExecutor, n_ahead: int) -> Iterator[tuple[str, Photo]]:
        """Yield photos in order, decoded `n_ahead` of need."""
        waiting: deque[tuple[Item, Future[Photo]]] = deque()
        rest = iter(todo)
        while True:
            while len(waiting) < n_ahead and (item := next(rest, None)) is not None:
                waiting.append((item, pool.submit(self._read, item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                photo = future.result()
            except ImageError as error:
                self._fail(item.stem, error)
                continue
            yield item.stem, photo

    def _read(self, item: Item) -> Photo:
        path = self.photos.file(item)
        data = read_bytes(path)
        found = sha256_of(data)
        if found != item.files["image"].sha256:
            expected = f"sha256 {item.files['image'].sha256}"
            raise ImageError("A photo changed after it was indexed.", where=path, expected=expected, found=found)
        return decode(data, path)

    def _fail(self, stem: str, error: ImageError) -> None:
        from jewelenh.enhancement.windows import NotFiniteError

        if self.stops and isinstance(error, NotFiniteError):
            raise NotFiniteError(error.what, where=stem, fix=error.fix)  # all others would come out the same
        self.stage.fail(stem, str(error))
        self.advance()

    def _make_room(self, n_bytes: int) -> None:
        """Wait until `n_bytes` more may wait for their encoding; raise what went wrong with those before."""
        while self._encoding and sum(self._encoding.values()) + n_bytes > ENCODING_BYTES:
            done, _ = wait(self._encoding, return_when=FIRST_COMPLETED)
            for future in done:
                del self._encoding[future]
                future.result()

    def _save(self, item: Item, photo: Photo) -> None:
        source = item.files["image"].sha256
        record: dict[str, Any] = {
            "photo": item.record["photo"],
            "variant": item.record.get("variant"),
            "source": source,
            "scale": self.upscaler.scale,
            "architecture": self.upscaler.architecture,
            "precision": self.upscaler.precision,
        }
        try:
            data = encode_png(photo)
        except ImageError as error:
            self.stage.fail(item.stem, str(error))
        else:
            self.stage.save(item.stem, source, {"image": (f"{item.stem}.png", data)}, record)
        self.advance()
