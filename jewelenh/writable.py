"""A folder is tried before the work, not after it."""

from __future__ import annotations

from pathlib import Path

from jewelenh.errors import ConfigError


def require_writable(folder: Path, key: str) -> None:
    """Make `folder` and write to it once; `key` is the configuration key that chooses another.

    Raises:
        ConfigError: it cannot be made or written.
    """
    probe = folder / ".writable.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            "The folder cannot be written.", where=folder, found=reason, fix=f"{key}=<another folder>"
        ) from error
