"""What Hydra says about a wrong command line, with the nearest valid name added."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.errors import MissingConfigException

from jewelenh.config import nearest


def explain(error: BaseException, job: str, conf_dir: Path) -> str:
    """Return one message for an error of Hydra or OmegaConf: what, where, valid names, how to fix it."""
    text = str(error)
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += "\n  " + str(error.__cause__).splitlines()[0]
    if isinstance(error, MissingConfigException):
        return _missing_option(error, text)
    patterns = (r"Could not override '([^']+)'", r"Key '([^']+)' is not in struct", r"Could not delete.*'([^']+)'")
    if match := next(filter(None, (re.search(pattern, text) for pattern in patterns)), None):
        key, valid = match.group(1), _keys_of(job, conf_dir)
        group = key.lstrip("+~")
        close = nearest(group, valid) or nearest(group, [name.rsplit(".", 1)[-1] for name in valid])
        hint = re.search(r"To append to your config use .*", text)
        added = f"; where a group takes keys of your own: {hint.group(0)}" if hint else ""
        fix = f"python -m jewelenh.{job} --cfg job shows all keys{added}"
        return f"ConfigError: there is no key {key} in this job.{close}\n  fix:      {fix}"
    return f"ConfigError: {text}\n  fix:      python -m jewelenh.{job} --help"


def _missing_option(error: MissingConfigException, text: str) -> str:
    wanted = str(error.missing_cfg_file or "")
    options = [str(option) for option in (error.options or [])]
    first = text.splitlines()[0]
    valid = f"\n  valid:    {', '.join(sorted(options))}" if options else ""
    return f"ConfigError: {first}{nearest(wanted.rsplit('/', 1)[-1], options)}{valid}"


def _keys_of(job: str, conf_dir: Path) -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig, OmegaConf

    from jewelenh.job import VERSION_BASE

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(conf_dir), **VERSION_BASE):
        cfg = compose(config_name=job)

    def names(node: DictConfig, prefix: str) -> list[str]:
        found: list[str] = []
        for name in map(str, node):
            found.append(f"{prefix}{name}")
            child = None if OmegaConf.is_missing(node, name) else node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                found += names(child, f"{prefix}{name}.")
        return found

    return names(cfg, "")
