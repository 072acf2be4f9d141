"""Disks that are full, out of files, read-only, broken, or another one than TMPDIR's."""

from __future__ import annotations

import errno
import functools
import os
import resource
import signal
from pathlib import Path

import torch
from kills import prepare, undisturbed
from place import LATER, Place, outcome, remount, same, small_disk

SIZES = {"fetch": "4k", "degrade": "36k", "enhance": "200k", "pair": "400k", "train": "400k", "predict": "24k"}
SIZES |= {"evaluate": "16k", "export": "16k"}
"""Of a disk that is full in the middle of a job."""


def full(place: Place, job: str) -> None:
    """Run a job on a disk that fills up: one message; with more room the same command ends as if never disturbed."""
    _, expected = undisturbed(place, job)
    with small_disk(place, "64m") as disk:
        here = Place(disk / "here", place.shared)
        here.root.mkdir()
        prepare(here, job)
        words = [*here.words(job), *([f"hydra.run.dir={place.root / 'hydra'}"] if job != "train" else [])]
        used = sum(file.stat().st_blocks * 512 for file in disk.rglob("*") if file.is_file()) // 1024
        remount(disk, f"size={used + int(SIZES[job][:-1])}k")
        ended = place.job(job, *words, alone=True).refused("fix:")
        assert "No space left" in ended.said or "no room" in ended.said, ended.said[-400:]
        remount(disk, "size=64m")
        place.job(job, *words, alone=True).succeeded()
        same(outcome(here, job), expected)


def limited_files(place: Place, job: str) -> None:
    """No file may be longer than 2 KiB (EFBIG): one message; without the limit the same command ends as ever."""
    _, expected = undisturbed(place, job)
    prepare(place, job)

    def patch() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    place.job(job, patch=patch).refused("File too large", "fix:")
    place.job(job).succeeded()
    same(outcome(place, job), expected)


def no_more_files(place: Place) -> None:
    """A disk without free inodes: one message; with more the same command ends as ever."""
    _, expected = undisturbed(place, "degrade")
    with small_disk(place, "64m", ",nr_inodes=14") as disk:
        here = Place(disk / "here", place.shared)
        there = Place(place.root, place.shared)
        words = [*here.words("degrade"), f"hydra.run.dir={place.root / 'hydra'}"]
        there.job("degrade", *words, alone=True).refused("No space left", "fix:")
        remount(disk, "nr_inodes=1000")
        there.job("degrade", *words, alone=True).succeeded()
        same(outcome(here, "degrade"), expected)


def read_only(place: Place, key: str, job: str) -> None:
    """A place that cannot be written is said with its key, before any work."""
    with small_disk(place, "1m") as disk:
        remount(disk, "ro")
        place.job(job, f"{key}={disk / 'here'}").refused("Read-only file system", "fix:")


def failing(place: Place, job: str, number: int, where: str) -> None:
    """The kernel reports an error (EIO at fsync, EDQUOT at rename): one message; afterwards the job ends as ever."""
    _, expected = undisturbed(place, job)
    prepare(place, job)
    place.job(job, patch=functools.partial(fail_at, where, number, 3)).refused(os.strerror(number), "fix:")
    place.job(job).succeeded()
    same(outcome(place, job), expected)


def fail_at(where: str, number: int, nth: int) -> None:
    """Let `os.fsync` or `Path.replace` fail from its nth call on."""
    n_calls = [0]

    def failing(real: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            n_calls[0] += 1
            if n_calls[0] >= nth:
                raise OSError(number, os.strerror(number), str(arguments[0]))
            return real(*arguments, **options)

        return call

    if where == "fsync":
        os.fsync = failing(os.fsync)
    else:
        Path.replace = failing(Path.replace)  # type: ignore[method-assign]


def full_at_checkpoint(place: Place) -> None:
    """The disk is full when the second last.ckpt is written: the first is whole, and training goes on from it."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")

    def patch() -> None:
        from jewelenh.training import interruption

        real, seen = interruption.write_atomically, [0]

        def write_atomically(path: Path, data: bytes) -> None:
            seen[0] += path.name == "last.ckpt"
            if seen[0] >= 2:
                fail_at("fsync", errno.ENOSPC, 1)
            real(path, data)

        interruption.write_atomically = write_atomically

    place.job("train", patch=patch).refused("No space left", "fix:")
    (last,) = place.root.glob("outputs/train/*/checkpoints/last.ckpt")
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert not list(last.parent.glob(".*.tmp")), "a temporary file is left"
    place.job("train").succeeded()
    same(outcome(place, "train"), expected)


def temporary_elsewhere(place: Place) -> None:
    """TMPDIR is a tiny disk of its own: nothing goes through it, and nothing stays in it."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")
    with small_disk(place, "8k") as disk:

        def patch() -> None:
            import tempfile

            tempfile.tempdir = str(disk)

        place.job("train", patch=patch, TMPDIR=str(disk)).succeeded()
        left = [path.name for path in disk.iterdir()]
        assert not left, f"left in TMPDIR: {left}"
    same(outcome(place, "train"), expected)


def directory_gone(place: Place) -> None:
    """The working directory was deleted: one message."""
    gone = place.root / "gone"

    def patch() -> None:
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()

    place.job("fetch", patch=patch).refused("directory")


def file_in_the_way(place: Place, name: str, job: str) -> None:
    """A file lies where a folder belongs: one message that names it."""
    path = place.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    place.job(job).refused(path.name if job in LATER else str(path), "fix:")
    assert path.read_text() == "in the way"
