"""Clocks that are wrong: files from the past and the future, a clock that jumps, locks that look old."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import cv2
from kills import prepare, undisturbed
from place import Place, draw_ring, outcome, same

YEARS = {"1970": 0, "1901": -2_177_452_800, "2106": 4_291_747_200}


def photos_of(place: Place, year: str) -> None:
    """Photos carry times of another century: the stages but for the index are the same."""
    for path in place.own_photos().rglob("*.png"):
        os.utime(path, (YEARS[year], YEARS[year]))
    place.job("degrade").succeeded()
    degraded = {
        path.relative_to(place.stage("degraded")): path.read_bytes() for path in place.stage("degraded").rglob("*.png")
    }
    n_same = sum(
        (place.shared / "data" / "degraded" / name).read_bytes() == data
        for name, data in _named(place, degraded).items()
    )
    assert n_same == len(degraded) == 8
    assert "8 there already" in place.job("degrade").succeeded().said


def _named(place: Place, files: dict[Path, bytes]) -> dict[Path, bytes]:
    """Return files by their names below the shared stage, whose fingerprint is of another folder of photos."""
    (stage,) = (place.shared / "data" / "degraded").iterdir()
    return {stage / name: data for name, data in files.items()}


def changed_behind_its_time(place: Place) -> None:
    """A photo is replaced by another of equal size and time: it is found, said, and never used for the old one."""
    photo = place.own_photos() / "rings/p0.png"
    photo.write_bytes(cv2.imencode(".bmp", draw_ring(0))[1].tobytes())  # a format of fixed size
    place.job("degrade").succeeded()
    before = photo.stat()
    photo.write_bytes(cv2.imencode(".bmp", draw_ring(77))[1].tobytes())
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.rmtree(place.data / "degraded")
    place.job("degrade").refused("rings/p0.png", "changed since it was indexed")
    os.utime(photo)
    place.job("degrade").succeeded()


def jumping(place: Place) -> None:
    """The clock jumps back a year in the middle of a training: the outcome is the same."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")

    def patch() -> None:
        real, begun = time.time, time.monotonic()
        time.time = lambda: real() - (31_536_000 if time.monotonic() - begun > 0.5 else 0)

    place.job("train", patch=patch).succeeded()
    same(outcome(place, "train"), expected)


def another_day(place: Place, job: str) -> None:
    """The same job ten years later gives the same bytes: there is no clock in them."""
    _, expected = undisturbed(place, job)
    prepare(place, job)

    def patch() -> None:
        real = time.time
        time.time = lambda: real() + 315_360_000

    place.job(job, patch=patch).succeeded()
    same(outcome(place, job), expected)


def old_lock(place: Place) -> None:
    """Locks of ten years ago lie about, held by nobody: nobody waits for them."""
    place.copy_run()
    for path in place.root.rglob(".lock*"):
        os.utime(path, (1_400_000_000, 1_400_000_000))
    assert "waiting" not in place.job("train").succeeded().said


def temporary_from_the_future(place: Place) -> None:
    """Temporary files of a killed run carry times of the future: they are swept all the same."""
    _, expected = undisturbed(place, "degrade")
    place.copy_chain("raw", "degraded")
    for name in (".p0.png.png.1-1.tmp", "rings/.p1.png.png.7-7.tmp"):
        path = place.stage("degraded") / name
        path.write_bytes(b"half")
        os.utime(path, (YEARS["2106"], YEARS["2106"]))
    place.job("degrade").succeeded()
    same(outcome(place, "degrade"), expected)


def record_from_the_future(place: Place) -> None:
    """A finished run's record carries a time of the future: it is finished, and `latest` finds its checkpoint."""
    run = place.copy_run()
    os.utime(run / "run.json", (YEARS["2106"], YEARS["2106"]))
    place.job("train").succeeded()
    place.job("evaluate", "checkpoint=latest").succeeded()
