"""What a run needs of the machine, said before it starts or when it was too much."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from jewelenh.errors import TrainingError

COPIES = 5
"""Of the weights in a checkpoint: themselves, their average, two moments of Adam, and one for what else there is."""


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
