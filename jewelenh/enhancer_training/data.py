"""High-resolution photos as Lightning takes them: training patches, and held-out photos to score."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

from jewelenh.config import Degradation
from jewelenh.enhancer_training.patches import Examinations, Patches, PatchPair, PatchSampler, PhotoCache, require_sides
from jewelenh.enhancer_training.settings import PatchData
from jewelenh.errors import SourceError
from jewelenh.hardware import n_cores
from jewelenh.seeds import seed_for
from jewelenh.stage import Selection

log = logging.getLogger(__name__)


class PatchDataModule(lightning.LightningDataModule):
    """Serves patches of the photos that `photos` returns, and keeps a seeded share of them for validation."""

    def __init__(
        self,
        photos: Callable[[], Selection],
        level: Degradation,
        settings: PatchData,
        scale: int,
        seed: int,
        workers: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        self._photos = photos
        self.level, self.settings, self.scale, self.seed = level, settings, scale, seed
        self.workers = workers
        self._train: Patches | None = None
        self._val: Examinations | None = None
        self._sampler: PatchSampler | None = None
        self._resumed = (0, 0)

    def setup(self, stage: str | None = None) -> None:
        """Index and divide the photos, and check their sizes.

        Raises:
            SourceError: too few photos to hold one out. ConfigError: photos smaller than a patch.
        """
        if self._train is not None:
            return
        selection = self._photos()
        train, val = hold_out([item.stem for item in selection.items], self.settings.val_share, self.seed)
        files = {item.stem: selection.file(item) for item in selection.items}
        budget = self.settings.cache_mib * 2**20
        photos = PhotoCache([files[stem] for stem in train], budget)
        require_sides(photos, self.settings.patch * self.scale, "model.data.patch")
        self._train = Patches(photos, self.level, self.settings, self.scale, self.seed)
        self._val = self.examinations([files[stem] for stem in val])
        log.info("high-resolution photos: %d to train on, %d to validate", len(train), len(val))

    def examinations(self, files: Sequence[Path]) -> Examinations:
        """Return photos as they are scored."""
        photos = PhotoCache(files, 2**28)
        require_sides(photos, 16 * self.scale, "scoring")
        return Examinations(photos, self.level, self.settings.eval_side, self.scale, self.seed)

    @property
    def val(self) -> Examinations:
        """Return the held-out photos; `setup` must have run."""
        assert self._val is not None
        return self._val

    def train_dataloader(self) -> DataLoader[PatchPair]:
        """Draw patches by (seed, epoch, index), the same after a resume."""
        assert self._train is not None
        trainer = self.trainer
        rank, n_ranks = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        sampler = PatchSampler(self._train, num_replicas=n_ranks, rank=rank, shuffle=False)
        # Lightning resumes an epoch with its first batches: the place is restored here, before there is an iterator
        epoch, n_seen = self._resumed
        sampler.set_epoch(epoch)
        sampler.start = n_seen * self.settings.batch_size
        self._sampler, self._resumed = sampler, (0, 0)
        return ResumableLoader(
            self._train, self.settings.batch_size, sampler=sampler, drop_last=True, **self._worker_options()
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the order where a checkpoint was made."""
        if self.trainer is None or self._sampler is None:
            return {"epoch": 0, "n_seen": 0}
        n_seen = int(self.trainer.fit_loop.epoch_loop.batch_progress.current.processed)  # type: ignore[attr-defined]
        is_whole = n_seen >= self.trainer.num_training_batches
        return {"epoch": self._sampler.epoch + is_whole, "n_seen": 0 if is_whole else n_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at that place."""
        self._resumed = state_dict.get("epoch", 0), state_dict.get("n_seen", 0)

    def val_dataloader(self) -> DataLoader[PatchPair]:
        """Serve held-out photos one by one: they may differ in size."""
        return DataLoader(self.val, batch_size=1)

    def _worker_options(self) -> dict[str, Any]:
        """On few cores the network needs them all; on many, two hide the cutting."""
        n_workers = self.workers
        if n_workers == "auto":
            n_workers = 0 if n_cores() < 4 else min(8, n_cores() // 2)
        options: dict[str, Any] = {"num_workers": n_workers, "pin_memory": torch.cuda.is_available()}
        return {**options, "persistent_workers": True, "prefetch_factor": 4} if n_workers else options


class ResumableLoader(DataLoader[PatchPair]):
    """Tells Lightning that an epoch can be resumed in its middle; the data module restores the place."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: see `PatchDataModule.state_dict`."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: the order was restored before this loader was made."""


def hold_out(stems: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Divide stems into those to train on and at least one to validate; each photo's rank is its own hash."""
    n_val = max(1, round(share * len(stems)))
    if n_val >= len(stems):
        raise SourceError(
            "There are too few photos to train on some and validate on others.",
            where="model.data.val_share",
            expected="at least one photo on each side",
            found=f"{len(stems)} photos, {n_val} of them for validation",
            fix="more photos, or a smaller model.data.val_share",
        )
    ranked = sorted(stems, key=lambda stem: (seed_for(seed, "esrgan-val", stem), stem))
    return sorted(ranked[n_val:]), sorted(ranked[:n_val])
