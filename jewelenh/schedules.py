"""How the learning rate moves through a run."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch

Scheduler = Callable[..., torch.optim.lr_scheduler.LRScheduler]


def warm_cosine(
    optimizer: torch.optim.Optimizer, n_steps: int, warm_share: float = 0.05, floor: float = 0.02
) -> torch.optim.lr_scheduler.LambdaLR:
    """Rise linearly for `warm_share` of all steps, then fall by half a cosine to `floor` of the learning rate.

    PyTorch's OneCycleLR does the same but divides by zero in runs of a few steps.
    """
    n_warm = max(1, round(warm_share * n_steps))

    def factor(step: int) -> float:
        fallen = min(1.0, max(0, step - n_warm) / max(1, n_steps - n_warm))
        return min((step + 1) / n_warm, floor + (1 - floor) * (1 + math.cos(math.pi * fallen)) / 2)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def scheduled(optimizer: torch.optim.Optimizer, scheduler: Scheduler | None, n_steps: Callable[[], int]) -> Any:
    """Return what Lightning's `configure_optimizers` returns.

    A scheduler with a parameter `n_steps` is given the number of steps of the whole run, and moves once a step; any
    other, such as PyTorch's own, moves once an epoch.
    """
    if scheduler is None:
        return optimizer
    if "n_steps" in inspect.signature(scheduler).parameters:
        plan = {"scheduler": scheduler(optimizer, n_steps=n_steps()), "interval": "step"}
    else:
        plan = {"scheduler": scheduler(optimizer), "interval": "epoch"}
    return {"optimizer": optimizer, "lr_scheduler": plan}
