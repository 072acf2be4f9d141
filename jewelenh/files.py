"""Files that are whole or not there, locks that die with their process, and OS errors in the user's words."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jewelenh.errors import BusyError, ConfigError, StageError

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger(__name__)

SAY_WAITING_EVERY_S = 10.0
_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system without locks answers: a network mount with `nolock`, some FUSE file systems."""


def write_atomically(path: Path, data: bytes, same_as: Path | None = None) -> None:
    """Write `data` beside `path`, flush it to the disk, rename it: a reader sees all of it or none.

    `same_as` is a file of the same content, which is linked in place of writing where the file system can do that.
    """
    # As much of the name as fits into 255 bytes whatever its letters are: 4 bytes each at most.
    temporary = path.with_name(f".{path.name[:40]}.{_HOST}-{os.getpid()}-{threading.get_ident()}.tmp")
    with explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if same_as is not None:
                with contextlib.suppress(OSError):
                    temporary.hardlink_to(same_as)
            if not temporary.exists():
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)  # renaming onto another name of the same file leaves both


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files below `folder` of processes of this machine that were killed."""
    for path in folder.rglob(f".*.{_HOST}-*-*.tmp"):
        pid = int(path.name.rsplit("-", 2)[1])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            continue  # somebody else's, and alive


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; an empty one where there is no file, or nothing readable in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def lock(path: Path, blocking: bool = True) -> Iterator[None]:
    """Hold a lock that the kernel frees when this process ends, however it ends; wait while another process holds it.

    Raises:
        BusyError: another process holds it, and `blocking` is false.
        StageError: the file cannot be written, or its file system has no locks.
    """
    from filelock import FileLock  # not for --help

    held = FileLock(path, thread_local=False, fallback_to_soft=False)
    wait_s = 0.3 if blocking else 0.0
    with explained(path):
        while not _acquire(held, wait_s):
            if not blocking:
                raise BusyError("Another process works here.", where=path.parent)
            log.info("waiting for another process that works in %s", path.parent)
            wait_s = SAY_WAITING_EVERY_S
    try:
        yield
    finally:
        held.release()


def _acquire(held: FileLock, wait_s: float) -> bool:
    from filelock import Timeout

    try:
        held.acquire(timeout=wait_s, poll_interval=0.05)
    except Timeout:
        return False
    return True


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
            **dict.fromkeys(NO_LOCKS, "choose a place with file locks: a local disk, or NFS mounted without nolock"),
        }
        fix = fixes.get(error.errno or 0, "choose another place with paths.data_dir=...")
        what = "Cannot lock" if error.errno in NO_LOCKS else "Cannot write"
        raise StageError(f"{what}: {error.strerror or error}.", where=path, fix=fix) from error


def require_writable(folder: Path, key: str) -> None:
    """Make `folder` and write to it once, before the work; `key` is the configuration key that chooses another.

    Raises:
        ConfigError: it cannot be made or written.
    """
    probe = folder / ".writable.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
        remove_leftovers(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            "The folder cannot be written.", where=folder, found=reason, fix=f"{key}=<another folder>"
        ) from error
