"""The chain from photos to pairs: each step runs the steps before it, and skips what is there already."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jewelenh.config import Shard
from jewelenh.degradation.levels import UNDEGRADED, Degradation, Levels
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

    @property
    def levels(self) -> Mapping[str, Degradation]:
        """Return the degradation levels by name: one, or several."""
        chosen = self.config.degradation
        return chosen.levels if isinstance(chosen, Levels) else {chosen.name: chosen}

    def degrade(self, raw: Selection | None = None, *, shard: Shard | None = None) -> dict[str, Selection]:
        """Degrade the raw photos at every level, or a shard's part of them; `none` is the raw photos themselves."""
        raw = raw or self.photos()
        made = {name: self._degraded(raw, level, shard) for name, level in self.levels.items()}
        if isinstance(self.config.degradation, Levels) and self.config.degradation.undegraded:
            made[UNDEGRADED] = raw
        return made

    def _degraded(self, raw: Selection, level: Degradation, shard: Shard | None) -> Selection:
        from jewelenh.degradation.run import degrade

        hardware, on_error = self.config.hardware, self.config.on_error
        return _timed(
            f"degrade {level.name}",
            lambda: degrade(
                raw, level, self.config.seed, self.data_dir, workers=hardware.n_threads, on_error=on_error, shard=shard
            ),
        )

    def enhance(self) -> tuple[Selection, dict[str, Selection], Selection]:
        """Run the enhancer over the raw photos and those of every level; return (raw, inputs by level, targets)."""
        raw, degraded = self._raw_and_degraded()
        inputs = {name: self._enhanced(photos, name) for name, photos in degraded.items() if photos is not raw}
        targets = self._enhanced(raw, "raw")
        return raw, {name: inputs.get(name, targets) for name in degraded}, targets

    def _raw_and_degraded(self) -> tuple[Selection, dict[str, Selection]]:
        """Degrade, and keep the raw photos that have a degraded version, so that a broken photo is reported once."""
        raw = self.photos()
        degraded = self.degrade(raw)
        whole = {str(item.record.get("photo", item.stem)) for one in degraded.values() for item in one.items}
        kept = replace(raw, items=[item for item in raw.items if item.stem in whole], failures={})
        return kept, {name: kept if one is raw else one for name, one in degraded.items()}

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
        """Write and split the pairs, of enhanced photos or of the photos themselves; return their directory."""
        from jewelenh.pairs.writer import write_pairs

        if self.config.shard.count > 1:
            raise ConfigError(
                "Pairs are split and written by one job.",
                found=f"shard.count={self.config.shard.count}",
                fix="run the shards with jewelenh.enhance, then this without shard.*",
            )
        if self.config.pairs.placement == "before":
            raw, inputs = self._raw_and_degraded()
            targets = raw
        else:
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


def _timed(label: str, step: Callable[[], Selection]) -> Selection:
    started_s = time.monotonic()
    selection = step()
    n_there = len(selection.items) - selection.n_made
    seconds = time.monotonic() - started_s
    log.info(
        "%s: %d made, %d there already (%.1f s) in %s", label, selection.n_made, n_there, seconds, selection.directory
    )
    return selection
