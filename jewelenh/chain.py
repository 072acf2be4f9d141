"""The chain from photos to pairs: each step runs the steps before it, and skips what is there already."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from jewelenh.config import Degradation, Enhancer, Hardware, Pairs, Paths, Shard, Source, parse
from jewelenh.errors import ConfigError
from jewelenh.stage import Selection, check_failures

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Chain:
    """What turns photos into pairs, as checked values."""

    seed: int
    source: Source
    degradation: Degradation
    enhancer: Enhancer
    hardware: Hardware
    pairs: Pairs
    paths: Paths
    shard: Shard
    on_error: Literal["stop", "skip"]

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Chain:
        """Check the chain's groups of a job's configuration (plain values, resolved); raise ConfigError."""
        on_error, seed = values["on_error"], values["seed"]
        if on_error not in {"stop", "skip"}:
            raise ConfigError("on_error cannot be used.", expected="stop or skip", found=on_error)
        if not isinstance(seed, int):
            raise ConfigError("seed cannot be used.", expected="a whole number", found=seed)
        return cls(
            seed=seed,
            source=parse(Source, values["source"], "source"),
            degradation=parse(Degradation, values["degradation"], "degradation"),
            enhancer=parse(Enhancer, values["enhancer"], "enhancer"),
            hardware=parse(Hardware, values["hardware"], "hardware"),
            pairs=parse(Pairs, values["pairs"], "pairs"),
            paths=parse(Paths, values["paths"], "paths"),
            shard=parse(Shard, values["shard"], "shard"),
            on_error=on_error,
        )

    @property
    def workers(self) -> int | None:
        """Return the threads that degrade photos; None goes by the cores."""
        return None if self.hardware.workers == "auto" else max(1, self.hardware.workers)

    @cached_property
    def data_dir(self) -> Path:
        """Return the absolute folder of all stages."""
        return self.paths.data_dir.expanduser().absolute()

    def fetch(self) -> Selection:
        """Index the raw photos; raise ItemsFailedError where some cannot be read."""
        raw = self.photos()
        check_failures(raw, "fetch", self.on_error)
        return raw

    def photos(self) -> Selection:
        """Index the raw photos and leave those that cannot be read to the next stage, which reports all at once."""
        from jewelenh.sources import fetch

        return _timed("fetch", lambda: fetch(self.source, self.seed, self.data_dir))

    def degrade(self, raw: Selection | None = None, *, shard: Shard | None = None) -> Selection:
        """Degrade the raw photos at the level, or a shard's part of them."""
        from jewelenh.degradation.run import degrade

        photos = raw or self.photos()
        return _timed(
            f"degrade {self.degradation.name}",
            lambda: degrade(
                photos,
                self.degradation,
                self.seed,
                self.data_dir,
                workers=self.workers,
                on_error=self.on_error,
                shard=shard,
            ),
        )

    def enhance(self) -> tuple[Selection, Selection, Selection]:
        """Run the enhancer over the raw and the degraded photos; return (raw, inputs, targets)."""
        raw = self.photos()
        degraded = self.degrade(raw)
        raw = _only(raw, {str(item.record["photo"]) for item in degraded.items})
        return raw, self._enhanced(degraded, self.degradation.name), self._enhanced(raw, "raw")

    def _enhanced(self, photos: Selection, level: str) -> Selection:
        from jewelenh.enhancement.run import enhance

        return _timed(
            f"enhance {level}",
            lambda: enhance(
                photos,
                level,
                self.enhancer,
                self.data_dir,
                self.paths.cache_dir,
                hardware=self.hardware,
                shard=self.shard,
                on_error=self.on_error,
            ),
        )

    def pair(self) -> Path:
        """Write and split the pairs; return their directory."""
        from jewelenh.pairs.writer import write_pairs

        if self.shard.count > 1:
            raise ConfigError(
                "Pairs are split and written by one job.",
                found=f"shard.count={self.shard.count}",
                fix="run the shards with jewelenh.enhance, then this without shard.*",
            )
        raw, inputs, targets = self.enhance()
        started_s = time.monotonic()
        manifest = write_pairs(
            raw, inputs, targets, self.degradation.name, self.pairs, self.seed, self.data_dir, on_error=self.on_error
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
