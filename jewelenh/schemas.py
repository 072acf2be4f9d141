"""One schema a job: every key of `python -m jewelenh.<job>`, what it takes, and its default.

The composed configuration is turned into the job's schema once, in `jewelenh.job`, before any work. What people plug in
(networks, losses, optimisers, schedulers, callbacks, loggers, the trainer) stays a mapping with a `_target_`, which
`jewelenh.plugins` checks against the signature of what it names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from jewelenh.config import (
    STRICT,
    Data,
    Enhancer,
    Foreign,
    Hardware,
    Limits,
    Metadata,
    Output,
    Pairs,
    PatchData,
    Paths,
    Placement,
    Server,
    Shard,
    Source,
    StartNetwork,
    parse,
)
from jewelenh.degradation.levels import AnyDegradation, Preview, Scoring, SingleLevels


def _names_target(node: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node.get("_target_"), str):
        raise ValueError("a mapping with _target_: <package.module.Class>")
    return node


def _trains(trainer: dict[str, Any]) -> dict[str, Any]:
    n_epochs = trainer.get("max_epochs")
    if isinstance(n_epochs, int) and not isinstance(n_epochs, bool) and n_epochs < 1 and n_epochs != -1:
        raise ValueError("max_epochs of 1 or more, or -1 for no end")
    return _names_target(trainer)


Plugin = Annotated[dict[str, Any], AfterValidator(_names_target)]
Trainer = Annotated[dict[str, Any], AfterValidator(_trains)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Job:
    """What every job takes."""

    paths: Paths = Field(default_factory=Paths)
    hardware: Hardware = Field(default_factory=Hardware)
    seed: Seed = 42
    """Of everything that is drawn."""
    traceback: bool = False
    """Show tracebacks."""
    fail_fast: bool = False
    """With -m: start no further job once one has failed."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ChainJob(Job):
    """What a job takes that makes photos into pairs, or a part of the way."""

    source: Source
    degradation: AnyDegradation
    enhancer: Enhancer
    pairs: Pairs = Field(default_factory=Pairs)
    on_error: Literal["stop", "skip"] = "stop"
    """`skip` goes on without the photos that failed."""
    shard: Shard = Field(default_factory=Shard)
    """One of several jobs that share a stage."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Fetch(ChainJob):
    """Index the raw photos."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Degrade(ChainJob):
    """Make degraded versions of the photos at one level."""

    preview: Preview = Field(default_factory=Preview)
    replay: Path | None = None
    """A draws.jsonl: make its photos again from what was drawn, and compare."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Enhance(ChainJob):
    """Run the enhancer over the raw photos and over one level of degraded ones."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pair(ChainJob, Foreign):
    """Write and split the pairs, check them, or import somebody else's."""

    check: bool = False
    """Read everything once and report all problems together."""
    directory: Path | None = None
    """With check=true: this pairs directory instead of the one that this configuration makes."""
    import_: Path | None = Field(None, alias="import")
    """A folder of foreign _input.npy and _target.npy, converted to pairs of our own; range, layout and colours say
    what its values mean."""

    def __post_init__(self) -> None:
        if self.directory is not None and not self.check:
            raise ValueError("check=true beside directory=...")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RefinementModel:
    """The chain's own network: RefinementCNN and its family."""

    recipe: Literal["refinement"]
    network: Plugin
    """Any torch.nn.Module from `input` to `refined`, both (B, 3, H, W) in [-1, 1]."""
    loss: Plugin
    """Any torch.nn.Module of (refined, target)."""
    optimizer: Plugin
    scheduler: Plugin | None = None
    """One move a step."""
    compile: bool = False
    """Run the network through torch.compile."""
    start: str = "scratch"
    """Weights to begin with: ready (where the network is that of the ready weights), scratch, latest, a run, a file."""
    placement: Placement = "after"
    """`before` the enhancer, on the photo's own grid, from degraded to raw; or `after` it, from `input` to `target`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdversarialModel(RefinementModel):
    """That against a discriminator."""

    recipe: Literal["adversarial"]  # type: ignore[assignment]
    adversarial: Plugin
    """Weights beside the loss, and what keeps the two sides steady."""
    discriminator: Plugin
    discriminator_optimizer: Plugin


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Opponent:
    """A discriminator beside the loss of a super-resolution network."""

    discriminator: Plugin
    settings: Plugin
    optimizer: Plugin


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EnhancerModel:
    """A super-resolution network: fresh, or any checkpoint to fine-tune."""

    recipe: Literal["esrgan"]
    network: StartNetwork
    data: PatchData
    loss: Plugin
    optimizer: Plugin
    scheduler: Plugin | None = None
    compile: bool = False
    opponent: Opponent | None = None


MODELS = {"refinement": RefinementModel, "adversarial": AdversarialModel, "esrgan": EnhancerModel}


def _model(values: Any) -> Any:
    recipe = values.get("recipe") if isinstance(values, dict) else None
    if recipe not in MODELS:
        raise ValueError(f"a recipe of {', '.join(MODELS)}")
    return parse(MODELS[recipe], values, "model")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Train(ChainJob):
    """Prepare what is missing, train, and test."""

    data: Data = Field(default_factory=Data)
    model: Annotated[RefinementModel | AdversarialModel | EnhancerModel, BeforeValidator(_model)]
    trainer: Trainer
    """pytorch_lightning.Trainer, with its own names."""
    callbacks: dict[str, Plugin | None] | None = None
    logger: dict[str, Plugin] | None = None
    experiment: str = "custom"
    """A recipe of conf/experiment."""
    test: Scoring = Field(default_factory=Scoring)
    """What the training's own test measures and shows; split stays test."""
    tags: tuple[str, ...] = ()
    """For the dashboards, beside the experiment's name."""
    ckpt_path: str | None = None
    """latest, a run directory or a .ckpt: go on from its last checkpoint."""
    rerun: bool = False
    """Make a finished run again; the earlier result is moved aside."""
    busy: Literal["wait", "skip"] = "wait"
    """When another process makes the same run: wait for its result, or leave it to that."""
    objective: str = "score"
    """What train returns to a search: score (test), val/gain_db, psnr_db_gain, ssim_refined, ..."""
    search: str | None = None
    """The name of a search, with hparams_search=optuna."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evaluate(Job, Scoring):
    """Score one or several checkpoints on pairs."""

    checkpoint: str | tuple[str, ...] = "latest"
    """latest, a .ckpt file, a run directory, or a list of them to compare."""
    names: tuple[str, ...] | None = None
    """Of the checkpoints in a comparison; null: what differs in their paths."""
    pairs_dir: Path | None = None
    """Null: the pairs that the checkpoint was trained on."""
    report_dir: Path | None = None
    """Null: this run's own folder."""
    trust: tuple[str, ...] = ()
    """Packages, besides jewelenh and torch, whose networks a checkpoint may name."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Predict(Job, Output):
    """Restore photos of any size."""

    input: Path
    """A photo, or a folder with all below it."""
    output: Path
    """A folder; the tree of the input is kept."""
    checkpoint: str = "latest"
    """latest, a .ckpt file, or a run directory."""
    device: str = "auto"
    """Short for hardware.device."""
    enhancer: Enhancer | None = None
    """Null: the one that the checkpoint was trained with."""
    extensions: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
    on_error: Literal["stop", "skip"] = "stop"
    """`skip`: photos that failed do not change the exit code."""
    trust: tuple[str, ...] = ()
    """Packages, besides jewelenh and torch, whose networks a checkpoint may name."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Demo(Job):
    """A page in the browser that restores dropped photos."""

    checkpoint: str = "latest"
    """The one chosen at first; all below paths.output_dir can be picked."""
    device: str = "auto"
    """Short for hardware.device."""
    levels: SingleLevels
    """Levels that the page offers."""
    server: Server = Field(default_factory=Server)
    limits: Limits = Field(default_factory=Limits)
    metadata: Metadata = "safe"
    """Of the files to download: `safe` leaves out place, serial numbers and names, `none` all EXIF."""
    trust: tuple[str, ...] = ()
    """Packages, besides jewelenh and torch, whose networks a checkpoint may name."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Export(Job):
    """A trained network for other programs, with a model card."""

    checkpoint: str = "latest"
    format: Literal["onnx", "safetensors"] = "onnx"
    """onnx: graphs of any picture size and the weights; safetensors: the weights alone."""
    half: bool = False
    """Weights as float16: half the bytes."""
    chain: bool = True
    """With onnx: also one graph from a photo to its restored picture, enhancer included."""
    output: Path | None = None
    """A folder; null: this run's own."""
    metrics: Path | None = None
    """A metrics.json for the card; null: the one of the checkpoint's run."""
    trust: tuple[str, ...] = ()
    """Packages, besides jewelenh and torch, whose networks a checkpoint may name."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Report(Job):
    """The one result of a sweep."""

    sweep: str = "latest"
    """latest, or a sweep's directory."""
