"""What Hydra composed for this job, as the rooms below take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the configuration as resolved plain values, which is all that the library takes."""
    return cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def given_keys() -> set[str]:
    """Return the keys that this command sets: they stay as they are on every machine."""
    return {override.lstrip("+").split("=")[0] for override in HydraConfig.get().overrides.task}


def run_dir() -> Path:
    """Return this run's output directory."""
    return Path(HydraConfig.get().runtime.output_dir)
