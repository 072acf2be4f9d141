"""What `model=esrgan` brings to the training run: a network, its patches, and an ending that exports and scores."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from jewelenh.chain import Chain
from jewelenh.config import Enhancer, Source
from jewelenh.degradation.levels import Degradation
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancer_training.data import HeldOutPhotos, PatchDataModule, centre
from jewelenh.enhancer_training.module import AdversarialSuperResolution, SuperResolutionModule
from jewelenh.enhancer_training.start import export, start_network
from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.evaluation.scores import PhotoScore, ScoreTable
from jewelenh.files import write_atomically
from jewelenh.images import Photo, Pixels, resize
from jewelenh.metrics import METRICS, scores_of
from jewelenh.plugins import build
from jewelenh.reporting.pictures import score_line
from jewelenh.reporting.render import print_table
from jewelenh.reporting.scores import summary_table
from jewelenh.reporting.sheet import Picture, sheet
from jewelenh.runs import LAST
from jewelenh.schemas import EnhancerModel, Train
from jewelenh.sources import fetch
from jewelenh.stage import check_failures
from jewelenh.training.run import Recipe, as_plain

log = logging.getLogger(__name__)

EXPORTED = "network.safetensors"
KINDS = ("clean", "degraded")
SHOWN_PHOTOS, SIDE_PX = 3, 256
SCORED = [METRICS[name] for name in ("psnr_db", "ssim")]


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


def score(upscaler: Upscaler, photos: HeldOutPhotos) -> dict[str, ScoreTable]:
    """Score every photo made small, clean and degraded, as 8-bit pictures against the photo itself."""
    found: dict[str, list[PhotoScore]] = {kind: [] for kind in KINDS}
    for index, file in enumerate(photos.photos.files):
        high, *lows = photos.pixels(index)
        for kind, low in zip(KINDS, lows, strict=True):
            values = {name: scores_of(pixels, high, SCORED) for name, pixels in made(upscaler, low, high).items()}
            found[kind].append(PhotoScore(file.name, str(file), values))
    return {kind: ScoreTable(tuple(rows), "the photo", "bicubic", "network") for kind, rows in found.items()}


def made(upscaler: Upscaler, low: Pixels, high: Pixels) -> dict[str, Pixels]:
    """Return what bicubic and the network make of a small picture."""
    return {"bicubic": enlarged(low, high), "network": upscaler.upscale(Photo(low)).pixels}


def enlarged(low: Pixels, high: Pixels) -> Pixels:
    """Enlarge by bicubic (Keys' kernel, a = -0.75) to the size of `high`."""
    return resize(low, high.shape[0], high.shape[1], "bicubic")


def write_report(folder: Path, upscaler: Upscaler, photos: HeldOutPhotos, level: str) -> dict[str, ScoreTable]:
    """Score, and leave `metrics.json` and `comparison.png` in `folder`; return the scores."""
    tables = score(upscaler, photos)
    protocol = {
        "backend": "jewelenh, in float64, held against scikit-image and torchmetrics by its tests",
        "metrics": {metric.name: metric.definition for metric in SCORED},
        "clean": f"made 1/{upscaler.scale} of the size by area",
        "degraded": f"the same, then level {level} without its colour step",
        "bicubic": "OpenCV, a = -0.75",
        "square_px": photos.side,
        "precision": upscaler.precision,
    }
    rows = zip(*(table.photos for table in tables.values()), strict=True)
    content = {
        "protocol": protocol,
        "means": {kind: means(table) for kind, table in tables.items()},
        "photos": [{"photo": row[0].stem, **{k: s.values for k, s in zip(KINDS, row, strict=True)}} for row in rows],
    }
    write_atomically(folder / "metrics.json", (json.dumps(content, indent=1) + "\n").encode())
    _comparison(upscaler, photos, tables).save(folder / "comparison.png", optimize=True)
    return tables


def means(table: ScoreTable) -> dict[str, dict[str, float]]:
    """Return the means by picture, then by metric."""
    return {image: {name: row[image] for name, row in table.summary.items()} for image in table.images}


def _comparison(upscaler: Upscaler, photos: HeldOutPhotos, tables: Mapping[str, ScoreTable]) -> Any:
    """Show a few photos, evenly spread over the list, each clean and degraded, cut to the same square."""
    n = len(photos)
    picks = sorted({round(i * (n - 1) / max(1, SHOWN_PHOTOS - 1)) for i in range(min(n, SHOWN_PHOTOS))})
    rows = []
    for pick in picks:
        high, *lows = photos.pixels(pick)
        for (kind, table), low in zip(tables.items(), lows, strict=True):
            values = table.photos[pick].values
            pictures = [
                Picture(centre(pixels, SIDE_PX, 1), (f"{kind}   {score_line(values[name])}",))
                for name, pixels in made(upscaler, low, high).items()
            ]
            rows.append([*pictures, Picture(centre(high, SIDE_PX, 1), (photos.photos.files[pick].name,))])
    return sheet(["bicubic", "network", "photo"], rows, SIDE_PX)
