"""What `model=esrgan` brings to the training run: a network, its patches, and an ending that exports and scores."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn

from jewelenh.chain import Chain
from jewelenh.config import Degradation, Enhancer, Source
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancer_training.data import HeldOutPhotos, PatchDataModule
from jewelenh.enhancer_training.module import AdversarialSuperResolution, SuperResolutionModule
from jewelenh.enhancer_training.scoring import means, write_report
from jewelenh.enhancer_training.start import export, start_network
from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.plugins import build
from jewelenh.reporting.render import print_table
from jewelenh.reporting.scores import summary_table
from jewelenh.runs import LAST
from jewelenh.schemas import EnhancerModel, Train
from jewelenh.sources import fetch
from jewelenh.stage import check_failures
from jewelenh.training.run import Recipe, as_plain

log = logging.getLogger(__name__)

EXPORTED = "network.safetensors"


def enhancer(config: Train, chain: Chain) -> Recipe:
    """Build network, data and ending from `config.model`; the photos are the source, the level its degradation.

    Raises:
        ConfigError: an invalid setting. WeightsError: weights that are no super-resolution network.
    """
    model = config.model
    assert isinstance(model, EnhancerModel)
    network, scale = start_network(model.network, config.paths.cache_dir)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    log.info("training %s: x%d, %d parameters", type(network).__name__, scale, n_parameters)
    parts = {
        "network": network,
        "scale": scale,
        "loss": build(model.loss, "model.loss"),
        "optimizer": build(model.optimizer, "model.optimizer"),
        "about": lambda: {"scale": scale, "config": as_plain(config)},
        "compile": model.compile,
    }
    level = config.degradation
    if not isinstance(level, Degradation):
        raise ConfigError(
            "model=esrgan trains at one level.", found=f"degradation={level.name}", fix="degradation=mild"
        )
    photos, workers = functools.cache(chain.fetch), config.hardware.workers
    data = PatchDataModule(photos, level, model.data, scale, config.seed, workers)
    tests = None
    if model.data.test_root is not None:
        selection = fetch(Source(kind="folder", root=model.data.test_root), config.seed, chain.data_dir)
        check_failures(selection, "fetch", config.on_error)
        tests = data.held_out([selection.file(item) for item in selection.items])
    ending = functools.partial(_conclude, network, data, tests, config)
    if model.opponent is None:
        scheduler = None if model.scheduler is None else build(model.scheduler, "model.scheduler")
        return Recipe(SuperResolutionModule(scheduler=scheduler, **parts), data, ending)
    opponent = {
        "discriminator": build(model.opponent.discriminator, "model.opponent.discriminator"),
        "settings": build(model.opponent.settings, "model.opponent.settings"),
        "discriminator_optimizer": build(model.opponent.optimizer, "model.opponent.optimizer"),
    }
    module = AdversarialSuperResolution(**opponent, **parts)
    return Recipe(module, data, ending, tested=LAST)  # by PSNR the best is where an adversarial training starts


def _conclude(
    network: nn.Module,
    data: PatchDataModule,
    tests: HeldOutPhotos | None,
    config: Train,
    trainer: pl.Trainer,
    checkpoint: Path,
    folder: Path,
) -> dict[str, float]:
    """Export the best network, score the file as the enhancer it now is, and say how to use it."""
    if not checkpoint.is_file():
        raise CheckpointError("The run left no best checkpoint.", where=checkpoint, expected="one after a validation")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({n.removeprefix("network."): v for n, v in state.items() if n.startswith("network.")})
    file = folder / EXPORTED
    export(network, file)
    photos = tests or data.val
    upscaler = Upscaler.load(Enhancer(name="trained", weights=file), config.hardware, config.paths.cache_dir)
    tables = write_report(folder, upscaler, photos, config.degradation.name)
    print_table(summary_table(tables, "small photos"), f"{len(photos)} held-out photos")
    print(  # noqa: T201
        f"\n{folder / 'comparison.png'}\n{folder / 'metrics.json'}\n{file}"
        f"\n\nNext:\n  python -m jewelenh.train experiment=mild enhancer.weights={file}"
    )
    numbers = {
        f"{kind}_{name}_{key}": value
        for kind, table in tables.items()
        for name, values in means(table).items()
        for key, value in values.items()
    }
    return {**numbers, "score": numbers["clean_network_psnr_db"] - numbers["clean_bicubic_psnr_db"]}
