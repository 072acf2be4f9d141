"""The chain from photos to pairs: each step runs the steps before it, and skips what is there already."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jewelenh.config import Shard
from jewelenh.errors import ConfigError
from jewelenh.stage import Selection, check_failures

if TYPE_CHECKING:
    from jewelenh.schemas import ChainJob

log = logging.getLogger(__name__)


class Chain:
    """What turns the photos of a job's configuration into pairs."""

    def __init__(self, config: ChainJob) -> None:
        self.config = config
        self.data_dir = config.paths.data_dir.expanduser().absolute()
        """The folder of all stages."""

    def fetch(self) -> Selection:
        """Index the raw photos; raise ItemsFailedError where some cannot be read."""
        raw = self.photos()
        check_failures(raw, "fetch", self.config.on_error)
        return raw

    def photos(self) -> Selection:
        """Index the raw photos and leave those that cannot be read to the next stage, which reports all at once."""
        from jewelenh.sources import fetch

        return _timed("fetch", lambda: fetch(self.config.source, self.config.seed, self.data_dir))

    def degrade(self, raw: Selection | None = None, *, shard: Shard | None = None) -> Selection:
        """Degrade the raw photos at the level, or a shard's part of them."""
        from jewelenh.degradation.run import degrade

        photos = raw or self.photos()
        return _timed(
            f"degrade {self.config.degradation.name}",
            lambda: degrade(
                photos,
                self.config.degradation,
                self.config.seed,
                self.data_dir,
                workers=self.config.hardware.n_threads,
                on_error=self.config.on_error,
                shard=shard,
            ),
        )

    def enhance(self) -> tuple[Selection, Selection, Selection]:
        """Run the enhancer over the raw and the degraded photos; return (raw, inputs, targets)."""
        raw = self.photos()
        degraded = self.degrade(raw)
        raw = _only(raw, {str(item.record["photo"]) for item in degraded.items})
        return raw, self._enhanced(degraded, self.config.degradation.name), self._enhanced(raw, "raw")

    def _enhanced(self, photos: Selection, level: str) -> Selection:
        from jewelenh.enhancement.run import enhance

        return _timed(
            f"enhance {level}",
            lambda: enhance(
                photos,
                level,
                self.config.enhancer,
                self.data_dir,
                self.config.paths.cache_dir,
                hardware=self.config.hardware,
                shard=self.config.shard,
                on_error=self.config.on_error,
            ),
        )

    def pair(self) -> Path:
        """Write and split the pairs; return their directory."""
        from jewelenh.pairs.writer import write_pairs

        if self.config.shard.count > 1:
            raise ConfigError(
                "Pairs are split and written by one job.",
                found=f"shard.count={self.config.shard.count}",
                fix="run the shards with jewelenh.enhance, then this without shard.*",
            )
        raw, inputs, targets = self.enhance()
        started_s = time.monotonic()
        manifest = write_pairs(
            raw,
            inputs,
            targets,
            self.config.degradation.name,
            self.config.pairs,
            self.config.seed,
            self.data_dir,
            on_error=self.config.on_error,
        )
        log.info("pair: %s (%.1f s)", manifest.directory, time.monotonic() - started_s)
        return Path(manifest.directory)


def _only(selection: Selection, stems: set[str]) -> Selection:
    """Keep the raw photos that have a degraded version, so that one broken photo is reported once."""
    items = [item for item in selection.items if item.stem in stems]
    return Selection(selection.directory, selection.fingerprint, items, {}, selection.n_made)


def _timed(label: str, step: Callable[[], Selection]) -> Selection:
    started_s = time.monotonic()
    selection = step()
    n_there = len(selection.items) - selection.n_made
    seconds = time.monotonic() - started_s
    log.info(
        "%s: %d made, %d there already (%.1f s) in %s", label, selection.n_made, n_there, seconds, selection.directory
    )
    return selection
