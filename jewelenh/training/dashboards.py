"""What a dashboard shows of a run besides its curves: the same validation photos again and again, and every test photo.

Pictures and tables go to each logger that can hold them, W&B and TensorBoard; others are passed over.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

from jewelenh.evaluation.photos import find_originals, read_original, read_pixels
from jewelenh.evaluation.scores import Evaluation
from jewelenh.images import Pixels, from_signed, to_signed
from jewelenh.metrics import METRICS
from jewelenh.pairs.contract import Pair, PairsManifest
from jewelenh.reporting.render import markdown
from jewelenh.reporting.scores import photo_records
from jewelenh.reporting.sheet import Picture, sheet

PSNR = METRICS["psnr_db"]
COLUMNS = ("raw", "degraded", "input", "refined", "target")


class ValidationPanel(pl.Callback):
    """Show a fixed choice of validation photos after validation, as one sheet of a row each, on every dashboard.

    Args:
        n_photos: spread evenly over the stems.
        every_n_epochs: the first and the last epoch are shown in any case.
        side: of one picture of the sheet in pixels.
    """

    def __init__(self, n_photos: int = 4, every_n_epochs: int = 5, side: int = 256) -> None:
        self.n_photos, self.every_n_epochs, self.side = n_photos, every_n_epochs, side
        self._rows: list[list[Picture]] | None = None
        self._pairs: list[tuple[Pixels, Pixels]] = []

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refine the photos with the weights that were just validated (the averaged ones, where there are) and log."""
        epoch = trainer.current_epoch + 1
        is_due = epoch == 1 or epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if trainer.sanity_checking or not trainer.is_global_zero or not is_due or not _dashboards(trainer.loggers):
            return
        pairs = getattr(trainer.datamodule, "pairs", None)  # type: ignore[attr-defined]
        if pairs is None:  # training an enhancer: its data are no pairs
            return
        if self._rows is None:
            self._rows = self._open(pairs)
        rows = [
            [*cells[:3], _refined(pl_module, input, target), *cells[3:]]
            for cells, (input, target) in zip(self._rows, self._pairs, strict=True)
        ]
        if rows:
            log_picture(trainer.loggers, "val/panel", sheet(COLUMNS, rows, self.side), trainer.global_step)

    def _open(self, pairs: PairsManifest) -> list[list[Picture]]:
        """Read the photos once, and lay out what does not change."""
        chosen = _spread(pairs.split("val"), self.n_photos)
        originals = find_originals(pairs, chosen)
        rows = []
        for pair, input, target in read_pixels(pairs, chosen):
            found = originals[pair.stem]
            shown = Picture(input, (PSNR.text(PSNR.of_pixels(input, target), unit=True),))
            raw, degraded = (
                Picture(read_original(found.raw), (pair.stem,)),
                Picture(read_original(found.degraded)),
            )
            rows.append([raw, degraded, shown, Picture(target)])
            self._pairs.append((input, target))
        return rows


class Resources(pl.Callback):
    """Log pictures a second, and the memory in use, once an epoch: `speed/*`, `memory/*_gib`."""

    def __init__(self) -> None:
        self._n_pictures = 0
        self._started_s = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._n_pictures, self._started_s = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count."""
        self._n_pictures += len(next(iter(batch.values()))) * trainer.world_size

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock: an epoch's validation comes before its end."""
        if not trainer.sanity_checking and self._n_pictures and self._started_s:
            self._log(pl_module)

    def _log(self, pl_module: pl.LightningModule) -> None:
        passed_s = time.perf_counter() - self._started_s
        unit = 2**20 if sys.platform != "darwin" else 2**30  # getrusage counts KiB, on a Mac bytes
        values = {
            "speed/pictures_per_s": self._n_pictures / passed_s,
            "memory/host_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        }
        if pl_module.device.type == "cuda":
            values["memory/gpu_peak_gib"] = torch.cuda.max_memory_allocated(pl_module.device) / 2**30
        for logger in pl_module.loggers:
            logger.log_metrics({**values, "epoch": pl_module.current_epoch}, step=pl_module.trainer.global_step)


def log_test(loggers: Iterable[Logger], found: Evaluation, pictures: dict[str, Image.Image], step: int) -> None:
    """Put every test photo's scores, and pictures, on the dashboards."""
    records, scores = photo_records(found), found.against_target
    columns, rows = list(records[0]), [list(record.values()) for record in records]
    for logger in _dashboards(loggers):
        if isinstance(logger, WandbLogger):
            logger.log_table("test/photos", columns=columns, data=rows, step=step)
        else:
            logger.experiment.add_text("test/photos", markdown(columns, rows), step)
            gains = np.array([scores.gain(score) for score in scores.photos])
            logger.experiment.add_histogram("test/gain_db", gains, step)
    for name, picture in pictures.items():
        log_picture(loggers, name, picture, step)


def log_picture(loggers: Iterable[Logger], name: str, picture: Image.Image, step: int) -> None:
    """Send one RGB picture to every dashboard."""
    for logger in _dashboards(loggers):
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [picture], step=step)
        else:
            logger.experiment.add_image(name, np.asarray(picture), step, dataformats="HWC")


def _dashboards(loggers: Iterable[Logger]) -> list[WandbLogger | TensorBoardLogger]:
    return [logger for logger in loggers if isinstance(logger, (WandbLogger, TensorBoardLogger))]


def _spread(pairs: Sequence[Pair], n: int) -> list[Pair]:
    picks = np.linspace(0, len(pairs) - 1, min(n, len(pairs))).round().astype(int)
    return [pairs[pick] for pick in picks]


def _refined(network: Callable[[Tensor], Tensor], input: Pixels, target: Pixels) -> Picture:
    device = next(network.parameters()).device  # type: ignore[attr-defined]
    pixels = torch.from_numpy(np.ascontiguousarray(input.transpose(2, 0, 1)))[None].to(device)
    with torch.inference_mode():
        refined = from_signed(network(to_signed(pixels)).float(), torch.uint8)[0].permute(1, 2, 0).cpu().numpy()
    before, after = (PSNR.of_pixels(pixels, target) for pixels in (input, refined))
    shown = (PSNR.text(after, unit=True), PSNR.text(after - before, sign=True, unit=True))
    return Picture(refined, shown, "better" if after > before else "worse")
