"""The network in training: losses, metrics beside those of the untouched input, optimiser and schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from jewelenh.errors import TrainingError
from jewelenh.metrics import psnr_db, ssim
from jewelenh.refinement.checkpoint import KEY, check_same_run
from jewelenh.schedules import Scheduler, scheduled

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class RefinementModule(pl.LightningModule):
    """Trains any network from `input` to `refined`, (B, 3, H, W) in [-1, 1], against `target`.

    Logs `train/loss` and its parts; for validation the same, `val/psnr_db` and `val/ssim` of refined, the same of
    input, and `val/gain_db`. `about` is what the checkpoint says of itself (`refinement.checkpoint.describe`).
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        optimizer: Optimiser,
        scheduler: Scheduler | None = None,
        about: Callable[[], Mapping[str, Any]] = dict,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
        self.loss = loss
        self._optimizer, self._scheduler, self._about = optimizer, scheduler, about
        # in a tuple, or its parameters would be in every checkpoint a second time
        self._run: tuple[Callable[..., Tensor]] = (torch.compile(self.network) if compile else self.network,)

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined`, not clamped."""
        return self._run[0](input.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Tensor | None:
        """Return the loss of one batch; a NaN or infinite loss stops the run."""
        loss, parts = self.compare(self(batch["input"]).float(), batch["target"])
        self._last_loss = loss.detach()
        n = len(batch["input"])
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=n)
        for name, value in parts.items():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, batch_size=n)
        return loss

    def compare(self, refined: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and its named parts where it offers any (`losses.PixelLoss.parts`).

        Raises:
            TrainingError: the network or the loss returns something else than a refinement network or a loss does.
        """
        if refined.shape != target.shape:
            raise TrainingError(
                "The network changes the shape of its input.", expected=tuple(target.shape), found=tuple(refined.shape)
            )
        loss = self.loss(refined, target)
        if not isinstance(loss, Tensor) or loss.ndim:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TrainingError("Invalid model.loss.", expected="loss(refined, target) -> a scalar tensor", found=found)
        return loss, dict(getattr(self.loss, "parts", {}))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stop before a NaN or infinite loss reaches the weights."""
        check_finite(self._last_loss, self.global_step)

    def validation_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """Score refined and input against target, per photo."""
        target = _unit(batch["target"])
        signed = self(batch["input"]).float()
        loss, parts = self.compare(signed, batch["target"])
        refined, input = _unit(signed), _unit(batch["input"])
        values = {
            **{f"val/{name}": value.reshape(1) for name, value in {"loss": loss, **parts}.items()},
            "val/psnr_db": psnr_db(refined, target),
            "val/ssim": ssim(refined, target),
            "val/psnr_db_input": psnr_db(input, target),
            "val/ssim_input": ssim(input, target),
        }
        values["val/gain_db"] = values["val/psnr_db"] - values["val/psnr_db_input"]
        shown = {"val/psnr_db", "val/gain_db"}
        for name, value in values.items():
            self.log(name, value.mean(), prog_bar=name in shown, batch_size=len(target), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the network's parameters, and the schedule."""
        optimizer = self._optimizer(self.network.parameters())
        return scheduled(optimizer, self._scheduler, lambda: int(self.trainer.estimated_stepping_batches))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put what rebuilds the network beside its weights."""
        checkpoint[KEY] = dict(self._about())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make sure that a run goes on with the network and the pairs it began with; raise CheckpointError."""
        check_same_run(checkpoint.get(KEY), self._about())


def _unit(signed: Tensor) -> Tensor:
    return ((signed.float() + 1) / 2).clamp(0, 1)


def check_finite(loss: torch.Tensor, step: int) -> None:
    """Raise TrainingError, with what helps, where `loss` is NaN or infinite."""
    if not torch.isfinite(loss):
        raise TrainingError(
            f"The loss is {float(loss)} at step {step}.",
            where="training",
            fix="a lower model.optimizer.lr, trainer.gradient_clip_val=1, or trainer.precision=32-true; the last "
            "checkpoint is from before",
        )
