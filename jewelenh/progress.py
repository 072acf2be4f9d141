"""n/N and time left for every long step: a live bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
Advance = Callable[..., None]
"""Counts one more item as done, or as many as it is given."""


@contextmanager
def progress(label: str, total: int, unit: str = "photos") -> Iterator[Advance]:
    """Show `label` with n/N and the time left; the body calls what it is given once per finished item (any thread)."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda n=1: bar.advance(task, n)
        return
    yield _LineCounter(label, total, unit)


class _LineCounter:
    """The bar of a log file: one line every `LOG_EVERY_S` seconds."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.n_done = 0
        self.started_s = self.said_s = time.monotonic()

    def __call__(self, n: int = 1) -> None:
        self.n_done += n
        now_s = time.monotonic()
        if now_s - self.said_s < LOG_EVERY_S:
            return
        self.said_s = now_s
        left_s = (now_s - self.started_s) / self.n_done * (self.total - self.n_done)
        log.info("%s: %d/%d %s, %.0f s left", self.label, self.n_done, self.total, self.unit, left_s)
