"""A NaN or infinite loss ends a run before it reaches the weights."""

from __future__ import annotations

import torch

from jewelenh.errors import TrainingError


def check_finite(loss: torch.Tensor, step: int) -> None:
    """Raise TrainingError, with what helps, where `loss` is NaN or infinite."""
    if not torch.isfinite(loss):
        raise TrainingError(
            f"The loss is {float(loss)} at step {step}.",
            where="training",
            fix="a lower model.optimizer.lr, trainer.gradient_clip_val=1, or trainer.precision=32-true; the last "
            "checkpoint is from before",
        )
