"""The process that drives `-m`: says what fails when it fails, ends with one report and an honest exit code."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from jewelenh.files import write_atomically
from jewelenh.sweeps.notes import ENDED, SWEEP, JobNote, notes_of
from jewelenh.sweeps.results import settings_of

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
BAD = frozenset({"failed", "stopped", "skipped"})


@dataclass
class _Driver:
    """One sweep under way."""

    sweep_dir: Path
    job: str
    at: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat())
    over: threading.Event = field(default_factory=threading.Event)
    begun: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)

    def watch(self) -> None:
        """Say of each job that it began and how it ended, wherever it runs, as soon as its note says so."""
        while not self.over.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Say what is new."""
        found = list(notes_of(self.sweep_dir))
        notes = [note for _, note in found]
        settings = settings_of({n.number: n.overrides for n in notes}, {n.number: n.level for n in notes})
        for job_dir, note in found:
            if note.sweep_at != self.at:
                continue
            if note.state == "running" and note.number not in self.begun:
                self.begun.add(note.number)
                log.info("job %d began on %s (%s)", note.number, note.device, _what(note, settings[note.number]))
            if note.state in ENDED and note.number not in self.ended:
                self.ended.add(note.number)
                _say_ending(job_dir, note, settings[note.number])


_drivers: list[_Driver] = []
"""The sweep of this process, if it drives one."""


class Sweep(Callback):  # type: ignore[misc]
    """Hydra's word that a sweep begins; in the process that drives it."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the command, and begin to watch the jobs."""
        driver = _Driver(Path(str(config.hydra.sweep.dir)).absolute(), str(config.hydra.job.name))
        _write_sweep(driver)
        _drivers.append(driver)
        threading.Thread(target=driver.watch, daemon=True).start()


@contextmanager
def concluded() -> Iterator[None]:
    """Around a job's main function: after a sweep its report, and exit code 1 where any job failed."""
    n_bad = 0
    try:
        yield
    finally:
        while _drivers:
            n_bad = _conclude(_drivers.pop())
    if n_bad:
        sys.exit(1)


def _conclude(driver: _Driver) -> int:
    """Return how many jobs have no result."""
    driver.over.set()
    driver.look()
    notes = [note for _, note in notes_of(driver.sweep_dir) if note.sweep_at == driver.at]
    if not notes:
        return 0
    counts = {state: sum(note.state == state for note in notes) for state in sorted({note.state for note in notes})}
    _write_sweep(driver, jobs=counts)
    log.info("sweep: %s", ", ".join(f"{n} {state}" for state, n in counts.items()))
    if driver.job == "train":
        _report(driver.sweep_dir)
    if any(note.state in BAD for note in notes):
        log.info("the same command finishes the sweep: what is finished is not done again")
    return sum(note.state in BAD for note in notes)


def _report(sweep_dir: Path) -> None:
    """Write the sweep's report; a report that fails takes nothing else with it."""
    from jewelenh.reporting.sweep import write_report

    try:
        files = write_report(sweep_dir)
    except Exception as error:
        log.exception("the report could not be written: %s", error)
        return
    for name, file in files.items():
        log.info("  %-12s %s", name, file)


def _say_ending(job_dir: Path, note: JobNote, settings: str) -> None:
    what = _what(note, settings)
    if note.state == "finished":
        returned = "" if note.returned is None else f": {note.returned:+.3f}"
        log.info("job %d finished after %.0f s%s (%s)", note.number, note.seconds, returned, what)
        return
    more = f"; traceback: {job_dir / note.traceback}" if note.traceback else ""
    log.error("job %d %s: %s (%s)%s", note.number, note.state, note.reason, what, more)


def _what(note: JobNote, settings: str) -> str:
    return ", ".join(part for part in (note.level, settings, f"seed {note.seed}") if part)


def _write_sweep(driver: _Driver, **more: Any) -> None:
    content = {"job": driver.job, "command": [Path(sys.argv[0]).name, *sys.argv[1:]], "at": driver.at, **more}
    write_atomically(driver.sweep_dir / SWEEP, (json.dumps(content, indent=1) + "\n").encode())
