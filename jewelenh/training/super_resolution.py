"""What `model=esrgan` brings to the training run: a network, its patches, and an ending that exports and scores."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from jewelenh.chain import Chain
from jewelenh.config import Enhancer, Source, parse
from jewelenh.enhancer_training.data import PatchDataModule
from jewelenh.enhancer_training.module import AdversarialSuperResolution, SuperResolutionModule
from jewelenh.enhancer_training.patches import Examinations
from jewelenh.enhancer_training.scoring import means, write_report
from jewelenh.enhancer_training.settings import PatchData, StartNetwork
from jewelenh.enhancer_training.start import export, start_network
from jewelenh.errors import CheckpointError
from jewelenh.refinement.runs import LAST
from jewelenh.reporting.render import print_table
from jewelenh.reporting.scores import summary_table
from jewelenh.training.recipe import Recipe
from jewelenh.training.settling import leave_clipping_to_the_game

log = logging.getLogger(__name__)

EXPORTED = "network.safetensors"


def esrgan_recipe(cfg: DictConfig, chain: Chain, config: dict[str, Any]) -> Recipe:
    """Build network, data and ending from `cfg.model`; the photos are the chain's source, the level its degradation.

    Raises:
        ConfigError: a setting that cannot be used. WeightsError: weights that are no super-resolution network.
    """
    start = parse(StartNetwork, config["model"]["network"], "model.network")
    settings = parse(PatchData, config["model"]["data"], "model.data")
    network, scale = start_network(start, chain.paths.cache_dir)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    log.info("training %s: x%d, %d parameters", type(network).__name__, scale, n_parameters)
    parts = {
        "network": network,
        "scale": scale,
        "loss": instantiate(cfg.model.loss),
        "optimizer": instantiate(cfg.model.optimizer),
        "about": {"scale": scale, "config": {key: value for key, value in config.items() if key != "hardware"}},
        "compile": cfg.model.compile,
    }
    photos, workers = functools.cache(chain.fetch), chain.hardware.workers
    data = PatchDataModule(photos, chain.degradation, settings, scale, chain.seed, workers)
    tests = None if settings.test_root is None else data.examinations(_files_below(settings.test_root, chain))
    ending = functools.partial(_conclude, network, data, tests, chain)
    if cfg.model.opponent is None:
        return Recipe(SuperResolutionModule(scheduler=instantiate(cfg.model.scheduler), **parts), data, ending)
    return Recipe(_adversarial(cfg, parts), data, ending, tested=LAST)  # by PSNR a game's best is its start


def _adversarial(cfg: DictConfig, parts: dict[str, Any]) -> AdversarialSuperResolution:
    """Set a discriminator beside the network."""
    leave_clipping_to_the_game(cfg, "model.opponent.settings.gradient_clip")
    opponent = cfg.model.opponent
    return AdversarialSuperResolution(
        discriminator=instantiate(opponent.discriminator),
        settings=instantiate(opponent.settings),
        discriminator_optimizer=instantiate(opponent.optimizer),
        **parts,
    )


def _conclude(
    network: nn.Module,
    data: PatchDataModule,
    tests: Examinations | None,
    chain: Chain,
    trainer: pl.Trainer,
    checkpoint: Path,
    folder: Path,
) -> dict[str, float]:
    """Export the best network, score the file as the enhancer it now is, and say how to use it."""
    from jewelenh.enhancement.upscaler import Upscaler

    load_best(network, checkpoint)
    file = folder / EXPORTED
    export(network, file)
    photos = tests or data.val
    upscaler = Upscaler.load(Enhancer(name="trained", weights=file), chain.hardware, chain.paths.cache_dir)
    tables = write_report(folder, upscaler, photos, chain.degradation.name)
    print_table(summary_table(tables, "small photos"), f"{len(photos)} held-out photos")
    print(  # noqa: T201
        f"\n{folder / 'comparison.png'}\n{folder / 'metrics.json'}\n{file}"
        f"\n\nNext:\n  python -m jewelenh.train +experiment=mild enhancer.weights={file}"
    )
    numbers = {
        f"{kind}_{name}_{key}": value
        for kind, table in tables.items()
        for name, values in means(table).items()
        for key, value in values.items()
    }
    return {**numbers, "score": numbers["clean_network_psnr_db"] - numbers["clean_bicubic_psnr_db"]}


def load_best(network: nn.Module, checkpoint: Path) -> None:
    """Put the weights of a checkpoint of this training into `network`; nothing in it is executed."""
    if not checkpoint.is_file():
        raise CheckpointError("The run left no best checkpoint.", where=checkpoint, expected="one after a validation")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    weights = {n.removeprefix("network."): value for n, value in state.items() if n.startswith("network.")}
    network.load_state_dict(weights)


def _files_below(root: Path, chain: Chain) -> list[Path]:
    from jewelenh.sources import fetch
    from jewelenh.stage import check_failures

    selection = fetch(Source(kind="folder", root=root), chain.seed, chain.data_dir)
    check_failures(selection, "fetch", chain.on_error)
    return [selection.file(item) for item in selection.items]
