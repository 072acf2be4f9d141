"""What every job shares: Hydra's composition, one readable message for every failure, exit codes.

    @job("degrade")                      # composes conf/degrade.yaml
    def main(cfg: DictConfig) -> None:   # heavy imports belong inside

Exit codes: 0 done, 1 failed, 2 the command line or configuration cannot be used, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from jewelenh.composed import run_dir
from jewelenh.errors import JewelenhError
from jewelenh.multirun import apart, driver
from jewelenh.sweeps.processes import settle_in

log = logging.getLogger(__name__)

PACKAGE_DIR = Path(__file__).resolve().parent
CONF_DIR = PACKAGE_DIR / "conf" if (PACKAGE_DIR / "conf").is_dir() else PACKAGE_DIR.parent / "conf"
"""Inside the package once installed, beside it in a checkout."""

SAID = "_jewelenh_said"
"""Set on an error whose message is out."""

Task = Callable[[DictConfig], Any]


def job(name: str) -> Callable[[Task], Callable[[], None]]:
    """Turn a function of a composed configuration into the main function of `python -m jewelenh.<name>`."""

    def decorate(function: Task) -> Callable[[], None]:
        @functools.wraps(function)
        def task(cfg: DictConfig) -> Any:
            if apart.is_job_of_sweep():
                return apart.run_apart(name, cfg)
            try:
                returned = function(cfg)
                apart.note_result(returned)
                return returned
            except Exception as error:
                # A part that Hydra instantiates refuses its values in our own words: those are what the user needs.
                cause = error.__cause__ if isinstance(error.__cause__, JewelenhError) else error
                _report(cause, debug=bool(cfg.get("debug")))
                apart.note_failure(cause)
                if cause is error:
                    raise
                raise cause from None

        composed = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name)(task)

        @functools.wraps(function)
        @driver.concluded()
        def main() -> None:
            settle_in()
            # Hydra then hands every error on to us instead of printing a traceback of its own.
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")
            try:
                composed()
            except (HydraException, OmegaConfBaseException) as error:
                if getattr(error, SAID, False):
                    sys.exit(1)
                from jewelenh.hints import explain

                _end(explain(error, name, CONF_DIR), 2)
            except KeyboardInterrupt:
                _end("Interrupted; what is finished is kept, the same command goes on from there.", 130)
            except JewelenhError as error:
                sys.exit(error.exit_code)
            except OSError as error:
                if getattr(error, SAID, False):
                    sys.exit(1)
                fix = "paths.output_dir=<a folder you can write>"
                _end(f"{error.strerror or error}: {error.filename or ''}\n  fix:  {fix}", 1)
            except Exception as error:
                if not getattr(error, SAID, False):
                    _report(error, debug="debug=true" in sys.argv)
                sys.exit(1)

        return main

    return decorate


def _report(error: BaseException, debug: bool) -> None:
    """Say what went wrong as soon as it does: in a sweep the other jobs still run."""
    setattr(error, SAID, True)
    if debug:
        traceback.print_exc()
    elif isinstance(error, JewelenhError):
        _say(f"{type(error).__name__}: {error}")
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _say(f"The disk is full: {error.filename or ''}\n  fix:  free some space; what is finished is kept")
    else:
        fix = f"this may be a fault of jewelenh; traceback: {_write_traceback() or 'run again with debug=true'}"
        _say(f"Unexpected {type(error).__name__}: {error}\n  fix:  {fix}")


def _write_traceback() -> Path | None:
    try:
        file = run_dir() / "traceback.txt"
        file.write_text(traceback.format_exc(), encoding="utf-8")
    except (OSError, ValueError):
        return None
    return file


def _end(message: str, code: int) -> None:
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    print(f"\n{message}", file=sys.stderr)  # noqa: T201
