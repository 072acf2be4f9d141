"""Job: prepare what is missing, train a refinement network, test the best checkpoint, and say how good it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from jewelenh.job import job, plain, run_dir

log = logging.getLogger(__name__)


@job("train")
def main(cfg: DictConfig) -> float:
    """Run `python -m jewelenh.train`; return the mean gain in PSNR on the test split, in dB."""
    import pytorch_lightning as pl
    import torch
    from hydra.utils import instantiate

    from jewelenh.chain import Chain
    from jewelenh.hardware import find_device, n_cores
    from jewelenh.refinement.checkpoint import describe
    from jewelenh.refinement.module import RefinementModule
    from jewelenh.refinement.trackers import settle_wandb_mode

    chain = Chain.from_config(plain(cfg))
    device = find_device(
        "auto" if cfg.trainer.accelerator == "auto" else "cpu" if cfg.trainer.accelerator == "cpu" else "cuda"
    )
    _fit_to_hardware(cfg, device.type)
    torch.set_num_threads(n_cores())
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    settle_wandb_mode()
    folder = run_dir()
    config = plain(cfg)
    if chain.enhancer.weights is not None:  # the checkpoint is used from other directories
        config["enhancer"]["weights"] = str(chain.enhancer.weights.expanduser().absolute())
    data = instantiate(cfg.data, prepare=chain.pair)
    network = instantiate(cfg.model.network)
    module = RefinementModule(
        network,
        loss=instantiate(cfg.model.loss),
        optimizer=instantiate(cfg.model.optimizer),
        scheduler=instantiate(cfg.model.scheduler),
        compile=cfg.model.compile,
        about=lambda: describe(network, config, data.pairs.directory),
    )
    loggers = [instantiate(logger) for logger in cfg.logger.values()] if cfg.logger else []
    trainer = instantiate(
        cfg.trainer,
        callbacks=[instantiate(callback) for callback in cfg.callbacks.values()] if cfg.callbacks else [],
        logger=loggers,
        default_root_dir=str(folder),
    )
    for logger in loggers:
        logger.log_hyperparams(config)
    trainer.fit(module, datamodule=data, ckpt_path=_resumed(cfg))
    return _conclude(trainer, folder, config)


def _resumed(cfg: DictConfig) -> str | None:
    from jewelenh.refinement.runs import LAST, find_checkpoint

    return None if cfg.resume is None else str(find_checkpoint(cfg.resume, Path(cfg.paths.output_dir), LAST))


def _fit_to_hardware(cfg: DictConfig, device: str) -> None:
    """Resolve `trainer.precision=auto`; without a GPU take over `without_gpu`, except for keys given on the command line."""
    from jewelenh.hardware import find_device, native_precision

    precisions = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}
    with open_dict(cfg):
        if cfg.trainer.precision == "auto":
            cfg.trainer.precision = precisions[native_precision(find_device(device))]
        if device == "cuda":
            return
        given = {override.lstrip("+").split("=")[0] for override in HydraConfig.get().overrides.task}
        changed = []
        for key, value in (cfg.without_gpu or {}).items():
            before = OmegaConf.select(cfg, key)
            if key in given or before == value:
                continue
            OmegaConf.update(cfg, key, value)
            changed.append(f"{key}={_shown(value)} (was {_shown(before)})")
    if changed:
        log.info("no GPU here, so for speed: %s", ", ".join(changed))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _conclude(trainer: Any, folder: Path, config: Mapping[str, Any]) -> float:
    """Test the best checkpoint through the one inference path and leave the report."""
    from jewelenh.evaluate import evaluate
    from jewelenh.refinement.runs import BEST, CHECKPOINTS

    checkpoint = folder / CHECKPOINTS / BEST
    evaluation, files = evaluate(checkpoint, folder, split="test")
    for logger in trainer.loggers:
        summary = evaluation.summary()
        flat = {f"test/{name}_{column}": value for name, row in summary.items() for column, value in row.items()}
        logger.log_metrics(flat, step=trainer.global_step)
        logger.finalize("success")
    level = config["degradation"]["name"]
    _say_next(level, checkpoint, files)
    return float(evaluation.summary()["psnr_db"]["gain"])


def _say_next(level: str, checkpoint: Path, files: Mapping[str, Path]) -> None:
    print(  # noqa: T201
        f"\nNext:\n  python -m jewelenh.predict input=<photo or folder> output=restored checkpoint={checkpoint}"
        f"\n  python -m jewelenh.evaluate checkpoint={checkpoint} split=val"
        f"\n  python -m jewelenh.train -m +experiment=mild,moderate,severe        (this was {level})"
    )


if __name__ == "__main__":
    main()
