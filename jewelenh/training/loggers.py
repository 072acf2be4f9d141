"""Which dashboards a run is on, whether W&B can be reached before its client is asked, and that its run is closed."""

from __future__ import annotations

import importlib.util
import logging
import netrc
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0


def installed(loggers: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out, and say so, dashboards whose package is not there: they are an extra."""
    chosen = {}
    for name, node in loggers.items():
        if name in {"wandb", "tensorboard"} and importlib.util.find_spec(name) is None:
            log.warning("%s is not installed, so this run is not on it: pip install 'jewelenh[tracking]'", name)
            continue
        chosen[name] = node
    if "wandb" in chosen:
        wandb_mode()
    return chosen


def wandb_mode() -> str:
    """Set WANDB_MODE to `offline` when there is no key or no network, unless it is set already; return the mode."""
    chosen = os.environ.get("WANDB_MODE")
    if chosen:
        return chosen
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or "api.wandb.ai"
    reason = None if _has_key(host) else "there is no key"
    if reason is None and not _is_reachable(host):
        reason = f"{host} cannot be reached"
    if reason:
        os.environ["WANDB_MODE"] = "offline"
        log.info("W&B: offline, as %s; upload later with: wandb sync <run>/wandb/offline-run-*", reason)
        return "offline"
    return "online"


def _has_key(host: str) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _is_reachable(host: str) -> bool:
    try:
        with socket.create_connection((host, 443), timeout=TIMEOUT_S):
            return True
    except OSError:
        return False


@contextmanager
def wandb_closed() -> Iterator[None]:
    """Close the run that W&B has open in this process, or the next training here would be written into it."""
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=exit_code)
