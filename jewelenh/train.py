"""Job: prepare what is missing, train, test the best checkpoint, and say how good it is.

What is trained is `model.recipe`: `refinement` (the chain's network), `adversarial` (that against a discriminator) or
`esrgan` (a super-resolution network).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from jewelenh.job import job, plain, run_dir
from jewelenh.recipe import Recipe

log = logging.getLogger(__name__)


@job("train")
def main(cfg: DictConfig) -> float:
    """Run `python -m jewelenh.train`, or find its result; return what `objective` names."""
    from jewelenh.multirun.claim import claimed_run, objective_of

    with claimed_run(cfg) as run:
        if not run.is_finished:
            run.finish(_train(cfg, run.checkpoint))
    return objective_of(run, cfg.objective)


def _train(cfg: DictConfig, checkpoint: Path | None) -> dict[str, float]:
    """Train, on from `checkpoint` where there is one, and test; return what was measured."""
    # Before torch: threads that wait in sleep cost other programs nothing (0.16 against 0.69 s of processor time a step
    # of experiment=compact on two cores that others used too).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import pytorch_lightning as pl
    import torch
    from hydra.utils import instantiate

    from jewelenh.chain import Chain
    from jewelenh.hardware import n_cores
    from jewelenh.refinement.best import BestValidation
    from jewelenh.refinement.limits import check_room, memory_advice, n_checkpoints
    from jewelenh.refinement.trackers import settle_wandb_mode

    chain = Chain.from_config(plain(cfg))
    _fit_to_hardware(cfg)
    _quieten()
    torch.set_num_threads(n_cores())
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if "wandb" in (cfg.logger or {}):
        settle_wandb_mode()
    folder, config = run_dir(), plain(cfg)
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
    import warnings

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    os.environ.setdefault("WANDB_SILENT", "true")


def _installed(loggers: Any) -> list[Any]:
    """Leave out, and say so, trackers whose package is not there: they are an extra."""
    import importlib.util

    chosen = []
    for name, logger in loggers.items():
        package = name if name in {"wandb", "tensorboard"} else None
        if package and importlib.util.find_spec(package) is None:
            log.warning("%s is not installed, so this run is not on it: pip install 'jewelenh[tracking]'", package)
            continue
        chosen.append(logger)
    return chosen


def _recipe(cfg: DictConfig, chain: Any, config: dict[str, Any]) -> Recipe:
    from jewelenh.errors import ConfigError

    if cfg.model.recipe in {"refinement", "adversarial"}:
        from jewelenh.refinement.training import refinement_recipe

        return refinement_recipe(cfg, chain, config)
    if cfg.model.recipe == "esrgan":
        from jewelenh.esrgan.training import esrgan_recipe

        return esrgan_recipe(cfg, chain, config)
    raise ConfigError(
        "model.recipe cannot be used.", expected="refinement, adversarial or esrgan", found=cfg.model.recipe
    )


def _resumed(cfg: DictConfig) -> str | None:
    from jewelenh.refinement.runs import LAST, find_checkpoint

    return None if cfg.resume is None else str(find_checkpoint(cfg.resume, Path(cfg.paths.output_dir), LAST))


def _fit_to_hardware(cfg: DictConfig) -> None:
    """Resolve `trainer.precision=auto`; without a GPU take over `without_gpu`, except for keys you gave."""
    from jewelenh.hardware import find_device, native_precision

    device = find_device("auto" if cfg.trainer.accelerator in {"auto", "gpu", "cuda"} else "cpu")
    precisions = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}
    changed = []
    with open_dict(cfg):
        if cfg.trainer.precision == "auto":
            cfg.trainer.precision = precisions[native_precision(device)]
        given = {override.lstrip("+").split("=")[0] for override in HydraConfig.get().overrides.task}
        refines = cfg.model.recipe != "esrgan"  # which alone does not read `data`
        for key, value in (cfg.without_gpu or {}).items() if refines and device.type != "cuda" else ():
            before = OmegaConf.select(cfg, key)
            if key not in given and before != value:
                OmegaConf.update(cfg, key, value)
                changed.append(f"{key}={_shown(value)} (was {_shown(before)})")
    if changed:
        log.info("no GPU here, so for speed: %s", ", ".join(changed))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _conclude(trainer: Any, recipe: Recipe, folder: Path) -> dict[str, float]:
    """Test the checkpoint that counts and close the dashboards with its numbers."""
    from jewelenh.refinement.runs import CHECKPOINTS

    numbers = recipe.conclude(trainer, folder / CHECKPOINTS / recipe.tested, folder)
    for logger in trainer.loggers:
        logger.log_metrics({f"test/{name}": value for name, value in numbers.items()}, step=trainer.global_step)
        logger.finalize("success")
    return numbers


if __name__ == "__main__":
    main()
