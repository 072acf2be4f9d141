"""What the chain's own networks bring to the training run: module, pairs, an ending by the one inference path."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from jewelenh.chain import Chain
from jewelenh.config import Hardware
from jewelenh.plugins import build
from jewelenh.refinement.checkpoint import describe, targets
from jewelenh.refinement.module import RefinementModule
from jewelenh.refinement.runs import LAST, find_checkpoint
from jewelenh.reporting.evaluation import report
from jewelenh.training.adversarial import AdversarialModule, warm_start
from jewelenh.training.dashboards import log_test
from jewelenh.training.recipe import Recipe
from jewelenh.training.settling import leave_clipping_to_the_game

log = logging.getLogger(__name__)


def refinement_recipe(cfg: DictConfig, chain: Chain, config: dict[str, Any]) -> Recipe:
    """Build network, pairs and ending from the configuration; the pairs themselves are made when training asks.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    if chain.enhancer.weights is not None:  # the checkpoint will be used from other directories
        config["enhancer"]["weights"] = str(chain.enhancer.weights.expanduser().absolute())
    data = instantiate(cfg.data, prepare=functools.cache(chain.pair))
    network = build(cfg.model.network, "model.network")
    log.info("training %s: %d parameters", type(network).__name__, sum(p.numel() for p in network.parameters()))
    parts = {
        "network": network,
        "loss": build(cfg.model.loss, "model.loss"),
        "optimizer": build(cfg.model.optimizer, "model.optimizer"),
        "compile": cfg.model.compile,
        "about": lambda: describe(config["model"]["network"], config, data.pairs.directory),
    }
    ending = functools.partial(_conclude, chain.hardware, tuple(targets(config["model"]["network"])))
    if cfg.model.recipe == "adversarial":
        return Recipe(_adversarial(cfg, parts), data, ending, tested=LAST)
    return Recipe(RefinementModule(scheduler=build(cfg.model.scheduler, "model.scheduler"), **parts), data, ending)


def _adversarial(cfg: DictConfig, parts: dict[str, Any]) -> AdversarialModule:
    """Set a discriminator beside the network."""
    leave_clipping_to_the_game(cfg, "model.loss.gradient_clip")
    if cfg.model.warm_start is not None:
        warm_start(parts["network"], find_checkpoint(cfg.model.warm_start, Path(cfg.paths.output_dir)))
    return AdversarialModule(
        settings=parts.pop("loss"),
        discriminator=build(cfg.model.discriminator, "model.discriminator"),
        discriminator_optimizer=build(cfg.model.discriminator_optimizer, "model.discriminator_optimizer"),
        **parts,
    )


def _conclude(
    hardware: Hardware, trust: tuple[str, ...], trainer: pl.Trainer, checkpoint: Path, folder: Path
) -> dict[str, float]:
    """Test through the one inference path, leave the report, and show both on the dashboards."""
    findings, files = report([checkpoint], folder, hardware=hardware, trust=trust)
    scores = findings.first.against_target
    with Image.open(files["comparison.png"]) as picture:
        log_test(trainer.loggers, scores, {"test/comparison": picture.convert("RGB")}, trainer.global_step)
    print(  # noqa: T201
        f"\nNext:\n  python -m jewelenh.predict input=<photo or folder> output=restored checkpoint={checkpoint}"
        f"\n  python -m jewelenh.evaluate checkpoint={checkpoint} split=val"
        "\n  python -m jewelenh.train -m +experiment=mild,moderate,severe"
    )
    numbers = {f"{name}_{column}": value for name, row in scores.summary.items() for column, value in row.items()}
    return {**numbers, "score": scores.summary["psnr_db"]["gain"]}
