"""What every job shares: Hydra's composition, one check of all values, one readable message for a failure, exit codes.

    @job("degrade")                      # composes conf/degrade.yaml, checks it against schemas.Degrade
    def main(config: Degrade) -> None:   # heavy imports belong inside

Exit codes: 0 done, 1 failed, 2 invalid command line or configuration, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigSource
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jewelenh.errors import JewelenhError
from jewelenh.sweeps import process

log = logging.getLogger(__name__)

PACKAGE_DIR = Path(__file__).resolve().parent
CONF_DIR = PACKAGE_DIR / "conf" if (PACKAGE_DIR / "conf").is_dir() else PACKAGE_DIR.parent / "conf"
"""Inside the package once installed, beside it in a checkout."""
IS_HYDRA_13 = hydra.__version__.startswith("1.3.")
VERSION_BASE = {"version_base": "1.3"} if IS_HYDRA_13 else {}
"""Hydra 1.3 asks for it, 1.4 warns of it."""
TARGETS = {} if IS_HYDRA_13 else {"execution_whitelist": hydra.utils.UNSAFE_DISABLE_EXECUTION_CHECKS}
"""Hydra 1.4 asks which targets may be made: what a user names on the command line may be anything."""
SHORT_FORMS = {
    "+experiment=": "experiment=",
    "+debug=": "debug=",
    "resume=": "ckpt_path=",  # its name in earlier versions
    "debug=true": "traceback=true",
    "debug=false": "traceback=false",
    "preview=true": "preview=sheet",
    "preview=false": "preview=none",
}
"""What people type out of habit, and what it is here."""
WIDTH = 110
"""Of a line of the configuration, in characters."""
KEPT = "what is finished is kept, the same command goes on from there."


def job(name: str, show: bool = False) -> Callable[[Callable[[Any], Any]], Callable[[], None]]:
    """Turn a function of a checked configuration into the main function of `python -m jewelenh.<name>`.

    With `show` the resolved configuration is logged in one screen and kept beside the results, as config.yaml.
    """

    def decorate(function: Callable[[Any], Any]) -> Callable[[], None]:
        failures: list[BaseException] = []

        @functools.wraps(function)
        def task(cfg: DictConfig) -> Any:
            # Hydra is not told of a failure: it would print a line about overrides behind our message.
            process.report(run_dir())
            try:
                config = _checked(name, plain(cfg))
                process.require_one_device(plain(cfg).get("trainer"))
                if show:
                    _show(plain(cfg))
                returned = function(config)
            except Exception as error:
                failures.append(error)
                _say(_explained(error, name))
                process.report_failure(run_dir(), _own_cause(error) or error)
                return None
            process.report_returned(run_dir(), returned)
            return returned

        composed = hydra.main(config_path=str(CONF_DIR), config_name=name, **VERSION_BASE, **TARGETS)(task)

        @functools.wraps(function)
        def main() -> None:
            process.follow_launcher()
            register_resolvers()
            # Hydra copies its sources for every group that `--help` lists, and lists them twice.
            ConfigSource.__deepcopy__ = lambda source, memo: source
            failures.clear()
            sys.argv[1:] = [_long_form(argument) for argument in sys.argv[1:]]
            # Before torch: threads that wait in sleep cost other programs nothing (0.16 against 0.69 s of processor
            # time a step of experiment=compact on two cores that others used too).
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises instead of printing a traceback,
            os.environ.setdefault("OC_CAUSE", "1")  # and OmegaConf keeps what a resolver raised
            with _terminated_by_exception():
                try:
                    composed()
                except KeyboardInterrupt:
                    _say(f"Interrupted; {KEPT}")
                    sys.exit(130)
                except Exception as error:
                    failures.append(error)
                    _say(_explained(error, name))
            if failures:
                sys.exit(_exit_code(failures[0]))

        return main

    return decorate


def _checked(name: str, values: dict[str, Any]) -> Any:
    """Return the values as the job's own schema; imported here, as `--help` does without."""
    from jewelenh import config, schemas

    return config.parse(getattr(schemas, name.capitalize()), values, "")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the configuration as resolved plain values, without Hydra's own."""
    return cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def run_dir() -> Path:
    """Return the output directory that Hydra made for this job."""
    return Path(HydraConfig.get().runtime.output_dir)


def _show(values: dict[str, Any]) -> None:
    """Log a line for each group, and keep everything as YAML."""
    for name, value in values.items():
        text = ", ".join(_leaves(value)) if isinstance(value, dict) else str(value or "")
        if not text:
            continue
        log.info("  %-11s %s", name, text if len(text) <= WIDTH else f"{text[: WIDTH - 4]} ...")
    OmegaConf.save(OmegaConf.create(values), run_dir() / "config.yaml")


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        elif name == "_target_":
            yield f"{prefix}{str(value).rpartition('.')[2]}"
        elif value is not None:
            yield f"{prefix}{name}={value}"


def overrides() -> list[str]:
    """Return what the command line says about this job's own configuration."""
    return list(HydraConfig.get().overrides.task)


def register_resolvers() -> None:
    """Let configurations say `${run_name:}`, `${on_gpu:<with a GPU>,<without>}`, `${added:<one>,<list>}`.

    `${options:<group>}` is every option of a config group by name, the files of `--config-dir` included.
    """

    def on_gpu(gpu: Any, cpu: Any, _root_: DictConfig) -> Any:
        from jewelenh.hardware import has_gpu

        return gpu if has_gpu(_root_.trainer.accelerator) else cpu

    def run_name(_root_: DictConfig) -> str:
        from jewelenh import identity

        return identity.run_name(_root_)

    def options(group: str) -> DictConfig:
        names = GlobalHydra.instance().config_loader().get_group_options(group)
        return OmegaConf.create({name: plain(hydra.compose(overrides=[f"+{group}={name}"])[group]) for name in names})

    def added(one: Any, others: list[Any]) -> ListConfig:
        return ListConfig(list(dict.fromkeys([one, *others])))

    # OmegaConf 2.4, which comes with Hydra 1.4, gave the new kind the old one's name.
    register: Any = OmegaConf.register_new_resolver if IS_HYDRA_13 else OmegaConf.register_resolver
    for name, resolver in {"on_gpu": on_gpu, "added": added, "run_name": run_name, "options": options}.items():
        register(name, resolver, replace=True)


def _long_form(argument: str) -> str:
    for short, long in SHORT_FORMS.items():
        if argument.lower().startswith(short):
            return long + argument[len(short) :]
    return argument


@contextmanager
def _terminated_by_exception() -> Iterator[None]:
    """Let SIGTERM unwind the job with exit code 143 and a word, where nobody else answers it."""

    def stop(*_: Any) -> None:
        sys.exit(143)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except SystemExit as ended:
        if ended.code == 143:
            _say(f"Terminated; {KEPT}")
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_code(error: BaseException) -> int:
    cause = _own_cause(error)
    if cause is not None:
        return cause.exit_code
    return 2 if isinstance(error, HydraException | OmegaConfBaseException) else 1


def _own_cause(error: BaseException | None) -> JewelenhError | None:
    """Return the error of ours behind one that Hydra or OmegaConf raised in its place."""
    while error is not None and not isinstance(error, JewelenhError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


def _explained(error: BaseException, name: str) -> str:
    """Return what the user is told of an error; debug=true adds the traceback."""
    if any(argument.startswith(("traceback=true", "debug=")) for argument in sys.argv):
        traceback.print_exception(error)
    from_hydra = isinstance(error, HydraException | OmegaConfBaseException)
    cause = _own_cause(error) if from_hydra or isinstance(error, JewelenhError) else None
    if cause is not None:
        return f"{type(cause).__name__}: {cause}"
    if from_hydra:
        from jewelenh.hints import explain

        return explain(error, name, CONF_DIR)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full: {error.filename or ''}\n  fix:      free some space; {KEPT}"
    if isinstance(error, OSError) and not _has_run_dir():
        fix = "paths.output_dir=<a folder you can write>"
        return f"{error.strerror or error}: {error.filename or ''}\n  fix:      {fix}"
    if isinstance(error, ImportError) and error.name == "cv2":  # opencv-python, written over the headless build
        fix = "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless"
        return f"OpenCV cannot be loaded: {error}\n  fix:      {fix}"
    where = _write_traceback(error) or "run again with debug=true"
    return (
        f"Unexpected {type(error).__name__}: {error}\n  fix:      this may be a fault of jewelenh; traceback: {where}"
    )


def _has_run_dir() -> bool:
    """Say whether Hydra got as far as a directory for this job."""
    try:
        return run_dir().is_dir()
    except (ValueError, OmegaConfBaseException):
        return False


def _write_traceback(error: BaseException) -> Path | None:
    try:
        file = run_dir() / "traceback.txt"
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError, OmegaConfBaseException):
        return None
    return file


def _say(message: str) -> None:
    print(f"\n{message}", file=sys.stderr)  # noqa: T201
