"""Settings that give way: to the machine (precision, no GPU), and to a game of two optimisers (clipping)."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from jewelenh.composed import plain
from jewelenh.hardware import find_device, native_precision
from jewelenh.sweeps.identity import fitted

log = logging.getLogger(__name__)

PRECISIONS = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}
"""Ours -> Lightning's."""


def settle_on_hardware(cfg: DictConfig, given: Collection[str]) -> None:
    """Resolve `trainer.precision=auto`; without a GPU take over `without_gpu`, except for the keys in `given`."""
    device = find_device("auto" if cfg.trainer.accelerator in {"auto", "gpu", "cuda"} else "cpu")
    taken = OmegaConf.create(fitted(plain(cfg), given, has_gpu=device.type == "cuda"))
    changed = []
    with open_dict(cfg):
        if cfg.trainer.precision == "auto":
            cfg.trainer.precision = PRECISIONS[native_precision(device)]
        for key in cfg.without_gpu or {}:
            before, after = OmegaConf.select(cfg, key), OmegaConf.select(taken, key)
            if before != after:
                OmegaConf.update(cfg, key, after)
                changed.append(f"{key}={_shown(after)} (was {_shown(before)})")
    if changed:
        log.info("no GPU here, so for speed: %s", ", ".join(changed))


def leave_clipping_to_the_game(cfg: DictConfig, key: str) -> None:
    """Unset the trainer's clipping, which Lightning refuses beside two optimisers; the game clips each by `key`."""
    value = cfg.trainer.gradient_clip_val
    if value is not None:
        log.info("trainer.gradient_clip_val=%s is for one optimiser; both of this game are clipped by %s", value, key)
        cfg.trainer.gradient_clip_val = None


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
