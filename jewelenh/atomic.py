"""Files that are whole or not there, locks that die with their process, and OS errors in the user's words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from jewelenh.errors import StageError

log = logging.getLogger(__name__)

SAY_WAITING_EVERY_S = 10.0


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, flush it to the disk, rename it: a reader sees all of it or none."""
    # As much of the name as fits into 255 bytes whatever its letters are: 4 bytes each at most.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}-{threading.get_ident()}.tmp")
    with explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def lock(path: Path, exclusive: bool) -> Iterator[None]:
    """Hold an advisory lock (flock) that the kernel frees when this process ends, however it ends."""
    with explained(path):
        file = path.open("a+")
    with file:
        wanted = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        said_s = 0.0
        while True:
            try:
                fcntl.flock(file, wanted | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - said_s > SAY_WAITING_EVERY_S:
                    said_s = time.monotonic()
                    log.info("waiting for another process that works in %s", path.parent)
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into a StageError in the user's words."""
    try:
        yield
    except OSError as error:
        fixes = {
            errno.ENOSPC: "free some space and run again: what is finished is kept",
            errno.EDQUOT: "free some of your quota and run again: what is finished is kept",
            errno.EACCES: "give this user the right to write there, or choose another place with paths.data_dir=...",
            errno.EROFS: "choose another place with paths.data_dir=...",
        }
        fix = fixes.get(error.errno or 0, "choose another place with paths.data_dir=...")
        raise StageError(f"Cannot write: {error.strerror or error}.", where=path, fix=fix) from error
