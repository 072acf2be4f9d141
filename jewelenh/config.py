"""Typed settings of the configuration groups, checked before any work; degradation/levels.py has those of the levels.

`parse` turns what pydantic finds into one `ConfigError` that names every wrong key, its value, what is allowed and the
nearest valid name. Imports neither torch nor cv2.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.dataclasses import dataclass

from jewelenh.errors import ConfigError

STRICT = ConfigDict(extra="forbid")


def _share(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return value


Probability = Annotated[float, AfterValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
Odds = Annotated[float, Field(ge=0.0)]
Placement = Literal["before", "after"]
Metadata = Literal["keep", "safe", "none"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Source:
    """Where the photos come from."""

    kind: Literal["sample", "folder", "kaggle"]
    """`sample`: the photos inside the package; `folder`: all below `root`; `kaggle`: a data set by the Kaggle API."""
    root: Path | None = None
    """Folder of photos (`folder`), or the place a Kaggle data set is unpacked to (default: below `paths.data_dir`)."""
    dataset: str | None = None
    """Kaggle data set as `owner/name`."""
    limit: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Use this many photos, a seeded choice that only grows: the first 60 are among the first 70."""
    extensions: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
    """File endings taken for photos, in any case."""

    def __post_init__(self) -> None:
        if self.kind == "folder" and self.root is None:
            raise ValueError("source.root=<folder of photos> with source=folder")
        if self.kind == "kaggle" and not (self.dataset and self.dataset.count("/") == 1):
            raise ValueError("source.dataset=<owner/name> with source=kaggle")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Enhancer:
    """The super-resolution network that makes `input` and `target`: what decides the picture."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]
    """A name of the weight registry (x4plus, x2plus, general_x4v3, compact), or one of your own with `weights`."""
    weights: Path | None = None
    """A weight file (.pth or .safetensors) to use in place of the registry's."""
    engine: Literal["batched", "official"] = "batched"
    """`official` is the reference implementation (extra `realesrgan`)."""
    denoise_strength: Probability | None = None
    """Between the `wdn` weights (0) and the general ones (1); general_x4v3 only."""
    strength: Probability = 1.0
    """1 is the network's picture, 0 bicubic."""


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError("auto, cpu, cuda or cuda:<n>")
    return value


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Hardware:
    """How anything runs, never what comes of it: no checkpoint and no fingerprint carries this."""

    device: Annotated[str, AfterValidator(_device)] = "auto"
    """Of the enhancer and of the refinement network; `auto` is CUDA where there is one. Training has the trainer's."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` is what the device computes natively; 16-bit photos are then enlarged in fp32."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Photos (or tiles) of one size that the enhancer takes at once on a GPU; a CPU computes one on each core."""
    tile: Annotated[int, Field(ge=32)] | Literal["auto"] | None = "auto"
    """Side of the enhancer's tiles in input pixels; `auto` tiles only what does not fit, null never."""
    compile: bool = False
    """Run the enhancer through torch.compile: minutes at the start, for long runs on a GPU."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Threads that degrade photos, processes that load batches; `auto` goes by the cores."""

    @property
    def n_threads(self) -> int | None:
        """Return the threads that degrade photos; None goes by the cores."""
        return None if self.workers == "auto" else max(1, self.workers)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Split:
    """Shares of train, val and test; near-duplicates and variants of one photo stay together."""

    train: Odds = 0.8
    val: Odds = 0.1
    test: Odds = 0.1
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)] | None = 4
    """Photos whose 64-bit perceptual hashes differ in at most this many bits are one group; null switches it off."""
    folds: Annotated[int, Field(ge=2, strict=True)] | None = None
    """Cross-validation: the photos are dealt into so many parts, and `test` is no share but one of them."""
    fold: Annotated[int, Field(ge=0, strict=True)] = 0
    """Which of them; a sweep over all, `pairs.split.fold=0,1,2,3,4`, has every photo in a test once."""

    def __post_init__(self) -> None:
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError("train + val + test = 1")
        if self.fold >= (self.folds or 1):
            raise ValueError("fold below folds" if self.folds else "folds beside fold: pairs.split.folds=5")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pairs:
    """How paired tensors are written and split."""

    placement: Placement = "after"
    """Of the network they are for. `after` the enhancer: `input`, `target`; `before`: degraded and raw themselves."""
    size: Annotated[int, Field(ge=8)] | None = 512
    """Side in pixels; null keeps the enhancer's own size. Degraded and raw photos always keep theirs."""
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    resample: Literal["area", "bilinear", "bicubic", "lanczos"] = "area"
    split: Split = Field(default_factory=Split)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Foreign:
    """What the values of pairs made elsewhere mean; null only where the files leave no doubt."""

    range: Literal["signed", "unit", "grey"] | None = None
    """`signed`: [-1, 1]; `unit`: [0, 1]; `grey`: [0, 255]."""
    layout: Literal["chw", "hwc"] | None = None
    """`chw`: (3, height, width); `hwc`: (height, width, 3)."""
    colours: Literal["rgb", "bgr"] | None = None
    """`bgr` is OpenCV's order."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """How pairs are served in training."""

    batch_size: Annotated[int, Field(ge=1)] = 4
    """Of training, on each device."""
    crop: Annotated[int, Field(ge=1)] | None = None
    """Side of random training crops in pixels; null trains on whole images, which must then be of one size."""
    crops_per_photo: Annotated[int, Field(ge=1)] = 1
    """Cuts of each pair in one epoch; with small crops a pass over the photos sees more."""
    eval_batch_size: Annotated[int, Field(ge=1)] = 1
    """Of validation and test; 1 takes images of any size."""
    eval_crop: Annotated[int, Field(ge=1)] | None = None
    """Side of the centre crop that validation shows; null: whole images, as the test always shows."""
    cache: Literal["none", "ram"] = "ram"
    """`none` maps the files and reads what a crop needs; `ram` reads train and val once, one copy for all workers."""
    augment: bool = True
    """Mirror and quarter turns in training."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StartNetwork:
    """The network that training starts from."""

    weights: Path | None = None
    """A .pth or .safetensors that spandrel loads, to fine-tune; null begins with a fresh compact network."""
    features: Annotated[int, Field(ge=4, le=512)] = 48
    """Channels of a fresh network."""
    convs: Annotated[int, Field(ge=1, le=64)] = 12
    """Convolutions of a fresh network between the first and the last."""
    scale: Literal[2, 3, 4] = 4
    """How many times a fresh network enlarges the sides."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchData:
    """How patches are cut from high-resolution photos, and their small versions made."""

    patch: Annotated[int, Field(ge=8)] = 32
    """Side of a small patch in pixels; its high-resolution side is `scale` times that."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    steps_per_epoch: Annotated[int, Field(ge=1)] = 100
    """Batches between two validations; an epoch is not one pass over the photos."""
    clean: Probability = 0.6
    """Share of the patches that are only made smaller; the others go through the degradation level as well."""
    downscales: tuple[Literal["area", "bicubic"], ...] = ("area", "bicubic")
    """Drawn with equal odds; both average over all pixels."""
    val_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of the photos, at least one, that validation keeps to itself."""
    test_root: Path | None = None
    """Folder of photos for the final table; null scores the validation photos."""
    eval_side: Annotated[int, Field(ge=16)] | None = 384
    """Validation and test look at this central square, in high-resolution pixels; null: whole photos."""
    cache_mib: Annotated[int, Field(ge=0)] = 2048
    """Decoded photos kept in memory; what is beyond is decoded each time."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Paths:
    """Where things go; relative to the current directory."""

    data_dir: Path = Path("data")
    output_dir: Path = Path("outputs")
    cache_dir: Path | None = None
    """Downloaded weights; null is the user's cache folder."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shard:
    """One of several jobs that share a stage."""

    index: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1)] = 1

    def __post_init__(self) -> None:
        if self.index >= self.count:
            raise ValueError(f"index below count, so 0 to {self.count - 1}")


@dataclass(frozen=True, config=STRICT)
class Output:
    """How restored photos are written."""

    format: Literal["same", "png", "jpg", "webp"] = "same"
    """`same` keeps the ending of the original where it can be written, else PNG."""
    quality: Annotated[int, Field(ge=1, le=100, strict=True)] = 95
    """Of JPEG and WebP."""
    scale: Annotated[float, Field(gt=0, le=16)] | None = None
    """Sides relative to the original's: 1 brings it back to its size; null keeps the enhancer's resolution."""
    strength: Probability = 1.0
    """From the enhancer's picture alone (0) to the refined one (1)."""
    stages: bool = False
    """Also write the enhancer's picture, as <name>_enhanced."""
    metadata: Metadata = "safe"
    """`safe` leaves out place, serial numbers and names, `none` all EXIF; the colour profile always stays."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Server:
    """Where the demo's page is to be had."""

    host: str = "127.0.0.1"
    """0.0.0.0 shows it to the whole network."""
    port: Annotated[int, Field(ge=1, le=65535, strict=True)] | None = None
    """Null: the first free one from 7860."""
    share: bool = False
    """True asks Gradio's servers for a public link to it."""
    open: bool = False
    """True opens it in a browser."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Limits:
    """What the demo takes on."""

    file_mb: Annotated[float, Field(gt=0, le=2000)] = 50.0
    megapixels: Annotated[float, Field(gt=0, le=178)] = 12.0
    """Of an upload; with an x4 enhancer the result has sixteen times as many."""
    hourly_mb: Annotated[float, Field(gt=0)] = 2000.0
    """Of all uploads together; they are deleted after an hour."""
    queue: Annotated[int, Field(ge=1, le=1000, strict=True)] = 16
    """Requests that may wait; one is worked on at a time."""


T = TypeVar("T")


def parse(schema: type[T], values: Mapping[str, Any], key: str) -> T:
    """Check `values`, found under the configuration key `key`, against `schema`.

    Raises:
        ConfigError: one, with everything that is wrong.
    """
    try:
        return TypeAdapter(schema).validate_python(dict(values))
    except ValidationError as error:
        problems = [_describe(schema, problem, key) for problem in error.errors()]
    raise ConfigError("Invalid configuration.\n" + "\n".join(problems))


def nearest(name: str, valid: list[str]) -> str:
    """Return ' Did you mean x?' for the closest valid name, or an empty string."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else ""


def _describe(schema: Any, problem: Any, key: str) -> str:
    path = [part for part in problem["loc"] if not (isinstance(part, str) and not part.isidentifier())]
    full = ".".join(filter(None, [key, *map(str, path)]))
    if problem["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        valid = _fields_at(schema, path[:-1])
        return f"  {full}: there is no such key.{nearest(str(path[-1]), valid)} Valid here: {', '.join(sorted(valid))}"
    if problem["type"] in {"missing", "missing_keyword_only_argument", "missing_argument"}:
        return f"  {full}: a value is needed"
    found = problem["input"]
    if problem["type"] == "path_type" and found is None:
        return f"  {full} is needed: {full}=<a path>"
    allowed = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    options = re.findall("'(.*?)'", problem["ctx"]["expected"]) if problem["type"] == "literal_error" else []
    shown = "" if isinstance(found, Mapping) or type(found).__name__ == "ArgsKwargs" else f" = {found!r}"
    return f"  {full}{shown}: allowed is {allowed}.{nearest(str(found), options)}"


def _fields_at(schema: Any, path: list[Any]) -> list[str]:
    for part in path:
        schema = _dataclass_in(get_type_hints(schema).get(str(part), Any)) or schema
    return [field.name for field in fields(schema)] if is_dataclass(schema) else []


def _dataclass_in(hint: Any) -> Any:
    if is_dataclass(hint):
        return hint
    if get_origin(hint) in {Annotated, types.UnionType}:
        return next((found for part in get_args(hint) if (found := _dataclass_in(part))), None)
    return None
