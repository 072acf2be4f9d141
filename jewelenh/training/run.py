"""The run that every recipe shares: trackers, trainer, resume, and an ending that scores the checkpoint."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from jewelenh.chain import Chain
from jewelenh.composed import plain
from jewelenh.errors import ConfigError
from jewelenh.hardware import n_cores
from jewelenh.refinement.runs import CHECKPOINTS, LAST, find_checkpoint
from jewelenh.training.callbacks import BestValidation
from jewelenh.training.limits import check_room, memory_advice, n_checkpoints
from jewelenh.training.loggers import settle_wandb_mode
from jewelenh.training.recipe import Recipe
from jewelenh.training.settling import settle_on_hardware

log = logging.getLogger(__name__)


def train(cfg: DictConfig, folder: Path, given: Collection[str], checkpoint: Path | None) -> dict[str, float]:
    """Train in `folder`, on from `checkpoint` where there is one, and test; return what was measured.

    `given` are the keys that the user set, which stay as they are on every machine.

    Raises:
        ConfigError: a setting that cannot be used, or no room for checkpoints.
    """
    chain = Chain.from_config(plain(cfg))
    settle_on_hardware(cfg, given)
    _quieten()
    torch.set_num_threads(n_cores())
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if "wandb" in (cfg.logger or {}):
        settle_wandb_mode()
    config = plain(cfg)
    recipe = _recipe(cfg, chain, config)
    loggers = [instantiate(logger) for logger in _installed(cfg.logger or {})]
    best = BestValidation()
    callbacks = [best, *(instantiate(callback) for callback in (cfg.callbacks or {}).values() if callback)]
    trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers, default_root_dir=str(folder))
    for logger in loggers:
        logger.log_hyperparams(config)
    check_room(folder, recipe.module, n_checkpoints(callbacks))
    with memory_advice():
        trainer.fit(recipe.module, datamodule=recipe.data, ckpt_path=checkpoint or _resumed(cfg), weights_only=True)
    return {**_conclude(trainer, recipe, folder), **best.numbers} if trainer.is_global_zero else {}


def _quieten() -> None:
    """Leave out what Lightning and W&B say about themselves; their warnings about the run stay."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    os.environ.setdefault("WANDB_SILENT", "true")


def _installed(loggers: Any) -> list[Any]:
    """Leave out, and say so, trackers whose package is not there: they are an extra."""
    chosen = []
    for name, logger in loggers.items():
        package = name if name in {"wandb", "tensorboard"} else None
        if package and importlib.util.find_spec(package) is None:
            log.warning("%s is not installed, so this run is not on it: pip install 'jewelenh[tracking]'", package)
            continue
        chosen.append(logger)
    return chosen


def _recipe(cfg: DictConfig, chain: Chain, config: dict[str, Any]) -> Recipe:
    if cfg.model.recipe in {"refinement", "adversarial"}:
        from jewelenh.training.refinement import refinement_recipe

        return refinement_recipe(cfg, chain, config)
    if cfg.model.recipe == "esrgan":
        from jewelenh.training.super_resolution import esrgan_recipe

        return esrgan_recipe(cfg, chain, config)
    raise ConfigError(
        "model.recipe cannot be used.", expected="refinement, adversarial or esrgan", found=cfg.model.recipe
    )


def _resumed(cfg: DictConfig) -> str | None:
    return None if cfg.resume is None else str(find_checkpoint(cfg.resume, Path(cfg.paths.output_dir), LAST))


def _conclude(trainer: pl.Trainer, recipe: Recipe, folder: Path) -> dict[str, float]:
    """Test the checkpoint that counts and close the dashboards with its numbers."""
    numbers = recipe.conclude(trainer, folder / CHECKPOINTS / recipe.tested, folder)
    for logger in trainer.loggers:
        logger.log_metrics({f"test/{name}": value for name, value in numbers.items()}, step=trainer.global_step)
        logger.finalize("success")
    return numbers
