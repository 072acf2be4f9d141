"""Typed settings of `model=esrgan`, checked before any work; see conf/model/esrgan.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from jewelenh.config import Probability

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
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


@dataclass(frozen=True, kw_only=True, config=_STRICT)
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
