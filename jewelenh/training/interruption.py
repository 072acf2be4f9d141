"""What stops a run: a signal or a crash, which leave a checkpoint to go on from, a full disk, too little memory."""

from __future__ import annotations

import io
import logging
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from jewelenh.errors import CheckpointError, JewelenhError, StoppedError, TrainingError
from jewelenh.files import write_atomically
from jewelenh.refinement.checkpoint import open_checkpoint
from jewelenh.runs import CHECKPOINTS, LAST

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
COPIES = 5
"""Of the weights in a checkpoint: themselves, their average, two moments of Adam, and one for what else there is."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints beside their place, flush and rename them: a reader sees the former one or the new one, whole.

    Lightning's own goes through TMPDIR, and copies over the former file where that is another file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save to a local `path`."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


def usable_checkpoint(run_dir: Path) -> Path | None:
    """Return the checkpoint from which the run in `run_dir` goes on: `last.ckpt`, else the newest that is whole.

    A file that is torn, or that `jewelenh.train` did not write, is said and passed over.
    """
    files = [file for file in (run_dir / CHECKPOINTS).glob("*.ckpt") if not file.name.startswith(".")]
    for file in sorted(files, key=lambda file: (file.name == LAST, file.stat().st_mtime_ns), reverse=True):
        try:
            open_checkpoint(file)
        except CheckpointError as error:
            log.warning("not going on from this file: %s", error)
        else:
            return file
    return None


class SaveWhenStopped(pl.callbacks.Checkpoint):
    """Write `last.ckpt` when a run is stopped.

    Ctrl-C and SIGTERM are answered after the batch under way, or after the validation that follows it, so that weights,
    averages, optimiser and the place in the order belong together; a second Ctrl-C ends the run at once. A crash is
    saved as of the batch before it. Being a `Checkpoint`, this runs after all other callbacks, the one that averages
    the weights among them.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.file = Path(dirpath) / LAST
        self._signal: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}
        self._step_of_last_batch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals; elsewhere than in the main thread Python does not allow it."""
        self._signal, self._step_of_last_batch = None, trainer.global_step
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._noted) for number in SIGNALS}

    def _noted(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)
        log.info("%s: stopping after this batch, with a checkpoint", self._signal.name)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop where a signal has come; the last batch of an epoch leaves that to the epoch's end."""
        self._step_of_last_batch = trainer.global_step
        if not trainer.is_last_batch:
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save and stop where a signal came in the last batch or the validation."""
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        is_wanted = self._signal is not None
        if trainer.world_size > 1:  # all ranks stop after the same batch
            is_wanted = trainer.strategy.reduce_boolean_decision(is_wanted, all=False)
        if not is_wanted:
            return
        trainer.save_checkpoint(self.file)
        number = self._signal or signal.SIGTERM
        raise StoppedError(
            f"Stopped by {number.name} in epoch {trainer.current_epoch + 1}, after step {trainer.global_step}.",
            where=self.file,
            fix=f"the same command again goes on from there (elsewhere: ckpt_path={self.file})",
            exit_code=128 + number,
        )

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save a crash, unless it hit while the weights moved, while validating, or is an error of ours.

        Our own errors (a NaN or infinite loss) say themselves that the last checkpoint is from before.
        """
        self._give_back()
        between = trainer.training and trainer.global_step == self._step_of_last_batch and trainer.global_step > 0
        if isinstance(exception, JewelenhError) or not between or trainer.world_size > 1:
            return
        try:
            trainer.save_checkpoint(self.file)
        except (OSError, RuntimeError) as second:
            log.warning("the checkpoint of the crash could not be written: %s", second)
            return
        log.warning(
            "saved as of step %d; the same command again goes on from there (elsewhere: ckpt_path=%s)",
            trainer.global_step,
            self.file,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back, before Lightning gives back its own."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}


def n_checkpoints(callbacks: Iterable[Any]) -> int:
    """Count the files that the checkpoint callbacks may keep at one time; those that keep all count as ten."""
    kept = [c for c in callbacks if isinstance(c, pl.callbacks.ModelCheckpoint)]
    return sum((10 if c.save_top_k < 0 else c.save_top_k) + bool(c.save_last) for c in kept)


def check_room(folder: Path, module: nn.Module, n_files: int) -> None:
    """Make sure, before any work, that the disk has room for `n_files` checkpoints.

    Raises:
        TrainingError: it has not.
    """
    needed = n_files * COPIES * sum(parameter.nbytes for parameter in module.parameters())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainingError(
            "There is no room for the checkpoints of this run.",
            where=folder,
            expected=f"{needed / 2**20:.0f} MiB for {n_files} files",
            found=f"{free / 2**20:.0f} MiB free",
            fix="free some space, or paths.output_dir=<a folder on another disk>",
        )


@contextmanager
def memory_advice() -> Iterator[None]:
    """Turn a GPU's cry for memory into the settings that need less of it.

    Raises:
        TrainingError: in place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "The GPU's memory does not hold this.",
            found=str(error).splitlines()[0],
            fix="a smaller data.batch_size or data.crop, fewer model.network.features, or trainer.precision=bf16-mixed",
        ) from error
