"""What an evaluation is asked for besides checkpoints and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from jewelenh.config import parse
from jewelenh.errors import ConfigError

SPLITS = ("train", "val", "test")
KEYS = ("split", "photos", "against", "lpips_weights", "inception_weights")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """Checked values of the `evaluate` job; `jewelenh.train` tests with the defaults."""

    split: Literal["train", "val", "test"] = "test"
    photos: Annotated[int, Field(ge=1, le=12)] = 3
    """Rows of the comparison: from the largest gain to the smallest."""
    against: Literal["skimage"] | None = None
    """Another library that recomputes PSNR and SSIM."""
    lpips_weights: Path | None = None
    """AlexNet's ImageNet weights; None: those in torch's download cache, if there."""
    inception_weights: Path | None = None
    """Inception's weights for FID; None: those in torch's download cache, if there."""

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, for the report."""
        return {key: getattr(self, key) if key in {"split", "photos"} else _text(getattr(self, key)) for key in KEYS}


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Check the job's values.

    Raises:
        ConfigError: naming the key, what is allowed and what was found.
    """
    if values["split"] not in SPLITS:
        raise ConfigError("split cannot be used.", expected="train, val or test", found=values["split"])
    return parse(Settings, {key: values[key] for key in KEYS}, "evaluate")


def check_names(files: Sequence[Path], names: Sequence[str] | None) -> None:
    """Hold the checkpoints and their names against each other; raise ConfigError where they cannot be told apart."""
    if not files:
        raise ConfigError("checkpoint is empty.", expected="latest, a run directory, a .ckpt file, or a list of them")
    twice = sorted({str(file) for file in files if [other.resolve() for other in files].count(file.resolve()) > 1})
    if twice:
        raise ConfigError("A checkpoint is named twice.", found=", ".join(twice))
    if names is None:
        return
    if len(names) != len(files) or len(set(names)) < len(names):
        raise ConfigError(
            "names does not fit checkpoint.", expected=f"{len(files)} different names", found=", ".join(map(str, names))
        )
    taken = {"raw", "degraded", "input", "target"} & set(names)
    if taken:
        raise ConfigError("A checkpoint cannot have the name of a picture.", found=", ".join(sorted(taken)))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
