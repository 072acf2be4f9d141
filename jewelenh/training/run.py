"""A training from its checked configuration to its score: what is trained, on what, the trainer, and the ending."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from pydantic import TypeAdapter

from jewelenh.chain import Chain
from jewelenh.config import Hardware
from jewelenh.degradation.levels import Scoring
from jewelenh.evaluation.run import open_checkpoints
from jewelenh.hardware import has_gpu, n_cores, native_precision
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.plugins import attempt, build
from jewelenh.refinement.checkpoint import describe, targets
from jewelenh.refinement.module import RefinementModule
from jewelenh.refinement.weights import find_checkpoint, start_network
from jewelenh.reporting.evaluation import report
from jewelenh.runs import BEST, CHECKPOINTS, LAST, Run, is_follower
from jewelenh.schemas import AdversarialModel, EnhancerModel, Train
from jewelenh.sources import check_source
from jewelenh.training.adversarial import AdversarialModule
from jewelenh.training.callbacks import BestValidation
from jewelenh.training.dashboards import log_test
from jewelenh.training.interruption import check_room, memory_advice, n_checkpoints, usable_checkpoint
from jewelenh.training.loggers import WandbRun, installed, log_results, opened

log = logging.getLogger(__name__)

PRECISIONS = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}
"""Ours -> Lightning's."""


@dataclass(frozen=True)
class Recipe:
    """What one kind of network brings to the run: a module, its data, and how the run ends."""

    module: pl.LightningModule
    data: pl.LightningDataModule
    conclude: Callable[[pl.Trainer, Path, Path], dict[str, float]]
    """(trainer, tested checkpoint, run directory) -> numbers for the loggers, `score` among them; prints its ending."""
    tested: str = BEST
    """The checkpoint that is tested: the best by validation PSNR, unless PSNR is not what the training is for."""


def train(config: Train, run: Run, recipe: Callable[[Train, Chain], Recipe]) -> dict[str, float]:
    """Train in the run's directory, on from its checkpoint where there is one, and test; return what was measured.

    Everything that can be wrong with a setting, and with the photos, is found before a dashboard hears of the run.

    Raises:
        ConfigError: an invalid setting. TrainingError: no room for checkpoints, NaN, no memory.
    """
    _leave_out_small_talk()
    torch.set_num_threads(n_cores())
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(config.seed, workers=True, verbose=False)
    chain = Chain(config)
    check_source(config.source, chain.data_dir)
    made = recipe(config, chain)
    loggers = [build(node, f"logger.{name}") for name, node in installed(config.logger or {}).items()]
    best = BestValidation()
    chosen = {name: node for name, node in (config.callbacks or {}).items() if node}
    callbacks = [best, *(build(node, f"callbacks.{name}") for name, node in chosen.items())]
    trainer = build(
        _trainer(config, made.module), "trainer", callbacks=callbacks, logger=loggers, default_root_dir=run.directory
    )
    check_room(run.directory, made.module, n_checkpoints(callbacks))
    if not is_follower():
        made.data.prepare_data()
    start = _resumed(config, run)
    with opened(loggers, as_plain(config), goes_on=run.checkpoint is not None and start is not None):
        with memory_advice(), _interrupts_passed_on(trainer):
            trainer.fit(made.module, datamodule=made.data, ckpt_path=start, weights_only=True)
        return _conclude(trainer, made, run.directory, best.numbers) if trainer.is_global_zero else {}


def refinement(config: Train, chain: Chain) -> Recipe:
    """Build the chain's network, alone or against a discriminator; the pairs are made when the training asks.

    Raises:
        ConfigError: an invalid setting.
    """
    model = config.model
    assert not isinstance(model, EnhancerModel)
    network = build(model.network, "model.network")
    log.info("training %s: %d parameters", type(network).__name__, sum(p.numel() for p in network.parameters()))
    start_network(network, model.network, model.placement, model.start, config.paths.output_dir)
    workers = config.hardware.workers
    data = PairsDataModule(config.data, functools.cache(chain.pair), seed=config.seed, workers=workers, tested=True)
    optimizer = build(model.optimizer, "model.optimizer")
    attempt(optimizer, "model.optimizer", network.parameters())  # or an invalid learning rate is found in `fit` alone
    parts = {
        "network": network,
        "loss": build(model.loss, "model.loss"),
        "optimizer": optimizer,
        "compile": model.compile,
        "about": lambda: describe(model.network, as_plain(config), data.directory),
    }
    ending = functools.partial(_test_pairs, config.hardware, config.test, tuple(targets(model.network)))
    if not isinstance(model, AdversarialModel):
        scheduler = build(model.scheduler, "model.scheduler")
        return Recipe(RefinementModule(scheduler=scheduler, **parts), data, ending)
    module = AdversarialModule(
        settings=build(model.adversarial, "model.adversarial"),
        discriminator=build(model.discriminator, "model.discriminator"),
        discriminator_optimizer=build(model.discriminator_optimizer, "model.discriminator_optimizer"),
        **parts,
    )
    return Recipe(module, data, ending, tested=LAST)


def as_plain(config: Train) -> dict[str, Any]:
    """Return the configuration as plain values, for checkpoints and dashboards; weight files by absolute paths."""
    values: dict[str, Any] = TypeAdapter(Train).dump_python(config, mode="json", exclude={"hardware", "test"})
    if config.enhancer.weights is not None:  # the checkpoint will be used from other directories
        values["enhancer"]["weights"] = str(config.enhancer.weights.expanduser().absolute())
    return values


def _trainer(config: Train, module: pl.LightningModule) -> dict[str, Any]:
    """Return the trainer's settings with the native precision, and without a clipping that is for one optimiser."""
    settings = dict(config.trainer)
    if settings.get("precision") == "auto":
        device = torch.device("cuda" if has_gpu(settings.get("accelerator", "auto")) else "cpu")
        settings["precision"] = PRECISIONS[native_precision(device)]
    clip = settings.get("gradient_clip_val")
    if clip is not None and not module.automatic_optimization:
        key = "adversarial" if isinstance(config.model, AdversarialModel) else "opponent.settings"
        said = "trainer.gradient_clip_val=%s is for one optimiser; these two are clipped by model.%s.gradient_clip"
        log.info(said, clip, key)
        settings["gradient_clip_val"] = None
    return settings


def _leave_out_small_talk() -> None:
    """Leave out what Lightning and W&B say about themselves; their warnings about the run stay."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*srun. command is available.*")
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists")
    os.environ.setdefault("WANDB_SILENT", "true")


@contextlib.contextmanager
def _interrupts_passed_on(trainer: pl.Trainer) -> Iterator[None]:
    """Raise KeyboardInterrupt for a Ctrl-C that Lightning turns into exit code 1, and leaves ignored from then on."""
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        if trainer.interrupted and ended.code == 1:
            signal.signal(signal.SIGINT, former)
            raise KeyboardInterrupt from None
        raise


def _resumed(config: Train, run: Run) -> Path | None:
    """Return where to go on from: an earlier try's newest whole checkpoint, else that of `ckpt_path`."""
    earlier = None if run.checkpoint is None else usable_checkpoint(run.directory)
    if earlier is not None or config.ckpt_path is None:
        return earlier
    return find_checkpoint(config.ckpt_path, config.paths.output_dir, LAST)


def _conclude(trainer: pl.Trainer, recipe: Recipe, folder: Path, best: dict[str, float]) -> dict[str, float]:
    """Test the checkpoint that counts and close the dashboards with its numbers, and those of the best validation."""
    checkpoint = folder / CHECKPOINTS / recipe.tested
    numbers = recipe.conclude(trainer, checkpoint, folder)
    shown = {f"best/{name.removeprefix('val/')}": value for name, value in best.items()}
    shown.update((f"test/{name.replace('raw_', 'raw/', 1)}", value) for name, value in numbers.items())
    log_results(trainer.loggers, shown, trainer.global_step)
    kept = {"model": checkpoint}
    if isinstance(recipe.data, PairsDataModule):
        kept["pairs"] = recipe.data.directory / "manifest.json"
    for logger in trainer.loggers:
        if isinstance(logger, WandbRun):
            logger.keep(kept)
        logger.finalize("success")
    return {**numbers, **best}


def _test_pairs(
    hardware: Hardware, test: Scoring, trust: tuple[str, ...], trainer: pl.Trainer, checkpoint: Path, folder: Path
) -> dict[str, float]:
    """Test through the one inference path, leave the report, and show both on the dashboards."""
    findings, files = report(open_checkpoints([checkpoint], hardware=hardware, trust=trust), folder, test)
    with Image.open(files["comparison.png"]) as picture:
        log_test(trainer.loggers, findings.first, {"test/comparison": picture.convert("RGB")}, trainer.global_step)
    print(  # noqa: T201
        f"\nNext:\n  python -m jewelenh.predict input=<photo or folder> output=restored checkpoint={checkpoint}"
        f"\n  python -m jewelenh.evaluate checkpoint={checkpoint} split=val"
        "\n  python -m jewelenh.train -m experiment=mild,moderate,severe"
    )
    return {**findings.first.numbers, "score": findings.first.against_target.summary["psnr_db"]["gain"]}
