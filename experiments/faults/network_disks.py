"""What network file systems do: no locks, stale handles, renames that fail, no hard links, names left behind."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from kills import prepare, undisturbed
from place import Place, outcome, same


def no_locks(place: Place, job: str, number: int = errno.ENOLCK) -> None:
    """Locking fails: one message that says what kind of disk to take, and nothing is written without a lock."""
    prepare(place, job)

    def patch() -> None:
        import fcntl

        def flock(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        fcntl.flock = flock

    place.job(job, patch=patch).refused(os.strerror(number), "locks")
    assert not list(place.root.rglob("*.ckpt"))


def stale_once(place: Place, job: str, number: int) -> None:
    """A rename fails once: one message, and the same command again ends as ever."""
    _, expected = undisturbed(place, job)
    prepare(place, job)

    def patch() -> None:
        real, seen = Path.replace, [0]

        def replace(self: Path, target: Path) -> Path:
            seen[0] += 1
            if seen[0] == 2:
                raise OSError(number, os.strerror(number), str(self))
            return real(self, target)

        Path.replace = replace  # type: ignore[method-assign]

    place.job(job, patch=patch).refused(os.strerror(number), "fix:")
    place.job(job).succeeded()
    same(outcome(place, job), expected)


def rename_done_but_refused(place: Place) -> None:
    """NFS repeats a rename that was done and answers ENOENT: one message, and the same command again ends as ever."""
    _, expected = undisturbed(place, "degrade")
    prepare(place, "degrade")

    def patch() -> None:
        real, seen = Path.replace, [0]

        def replace(self: Path, target: Path) -> Path:
            seen[0] += 1
            result = real(self, target)
            if seen[0] == 2:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
            return result

        Path.replace = replace  # type: ignore[method-assign]

    place.job("degrade", patch=patch).refused("No such file", "fix:")
    place.job("degrade").succeeded()
    same(outcome(place, "degrade"), expected)


def no_hard_links(place: Place) -> None:
    """Hard links are refused: a second level's targets are written in full, and are the same."""
    linked = Place(place.root / "linked", place.shared)
    for one, patch in ((linked, None), (place, _without_links)):
        one.copy_chain()
        one.job("pair", "degradation=severe", patch=patch).succeeded()
    same(outcome(place, "pair"), outcome(linked, "pair"))


def _without_links() -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    os.link = link
    Path.hardlink_to = link  # type: ignore[method-assign]


def names_left_behind(place: Place) -> None:
    """`.nfs0000` files lie in every directory: they are no photos, no stages, and nobody's business."""
    _, expected = undisturbed(place, "pair")
    prepare(place, "pair")
    photos = place.own_photos()
    place.photos = place.shared / "photos"
    for folder in [place.data, *(p for p in [*place.data.rglob("*"), *photos.rglob("*")] if p.is_dir())]:
        (folder / ".nfs000000000012d687").write_bytes(b"x")
    place.job("pair").succeeded()
    found = {name: digest for name, digest in outcome(place, "pair").items() if ".nfs" not in name}
    same(found, expected)


def slow(place: Place) -> None:
    """Every stat takes 2 ms, as over a network: the outcome is the same."""
    _, expected = undisturbed(place, "pair")
    prepare(place, "pair")

    def patch() -> None:
        real = os.stat

        def stat(*arguments: object, **options: object) -> os.stat_result:
            time.sleep(0.002)
            return real(*arguments, **options)

        os.stat = stat

    place.job("pair", patch=patch).succeeded()
    same(outcome(place, "pair"), expected)


def unreadable_once(place: Place) -> None:
    """Reading a photo fails with EIO: it is a failure of that photo, and the next run makes it."""
    _, expected = undisturbed(place, "degrade")
    prepare(place, "degrade")

    def patch() -> None:
        real = Path.read_bytes

        def read_bytes(self: Path) -> bytes:
            if self.name == "p3.png":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
            return real(self)

        Path.read_bytes = read_bytes  # type: ignore[method-assign]

    place.job("degrade", patch=patch).refused("p3.png", "Input/output error", "the others are finished and kept")
    place.job("degrade").succeeded()
    same(outcome(place, "degrade"), expected)
