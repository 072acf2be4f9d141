"""Pairs as Lightning takes them: train, val and test loaders of batches `input`, `target`, `stem`."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader, Dataset

from jewelenh.config import Data
from jewelenh.errors import PairsError
from jewelenh.hardware import has_gpu, n_cores
from jewelenh.pairs.check import quick_check
from jewelenh.pairs.contract import PairsManifest, SplitName, read_pairs
from jewelenh.pairs.dataset import Batch, Cache, Cutting, EpochSampler, PairsDataset, load, to_network
from jewelenh.pairs.npy import Header
from jewelenh.seeds import seed_for

log = logging.getLogger(__name__)


class ResumableDataModule(lightning.LightningDataModule):
    """Loaders in an order drawn from (seed, epoch), and in a checkpoint the place in it where a run goes on.

    `workers` is how many processes make batches.
    """

    def __init__(self, seed: int, workers: int | Literal["auto"]) -> None:
        super().__init__()
        self.seed, self.workers = seed, workers
        self._train_sampler: EpochSampler | None = None
        self._resumed = (0, 0)

    def train_loader(self, dataset: Dataset[Any], batch_size: int, *, shuffle: bool, **options: Any) -> DataLoader[Any]:
        """Return a loader that begins where the loaded checkpoint was made; see `loader_options`."""
        sampler = self.sampler(dataset, shuffle=shuffle)
        # Lightning resumes an epoch with its first batches, and makes the iterator before it sets the epoch, from which
        # moment workers draw ahead: so the place is restored here, before there is an iterator
        epoch, n_seen = self._resumed
        sampler.set_epoch(epoch)
        sampler.start = n_seen * batch_size
        self._train_sampler, self._resumed = sampler, (0, 0)
        return ResumableLoader(dataset, batch_size, sampler=sampler, **options)

    def sampler(self, dataset: Dataset[Any], *, shuffle: bool) -> EpochSampler:
        """Return the keys of this rank."""
        trainer = self.trainer
        rank, n_ranks = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return EpochSampler(dataset, n_ranks, rank, shuffle=shuffle, seed=self.seed)

    def loader_options(self, n_batches: int, cache: Literal["none", "ram"]) -> dict[str, Any]:
        """Return a DataLoader's options that are about processes and memory, not about data."""
        workers = self.workers
        if workers == "auto":
            n_cpus = max(1, n_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
            workers = auto_workers(cache, n_cpus)
        workers = min(workers, n_batches)
        options: dict[str, Any] = {"num_workers": workers, "pin_memory": has_gpu()}  # for copies that overlap
        if workers:
            # forked workers inherit the cache and the maps; spawned ones would each be sent a copy
            context = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
            options |= {"persistent_workers": True, "prefetch_factor": 4, "multiprocessing_context": context}
            options["worker_init_fn"] = partial(_start_worker, self.seed)
        return options

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch under way and how many batches of it are done; an epoch done whole is the next, begun."""
        if self.trainer is None or self._train_sampler is None:
            return {"epoch": 0, "n_seen": 0}
        epoch = self._train_sampler.epoch
        n_seen = int(self.trainer.fit_loop.epoch_loop.batch_progress.current.processed)  # type: ignore[attr-defined]
        is_whole = n_seen >= self.trainer.num_training_batches
        return {"epoch": epoch + is_whole, "n_seen": 0 if is_whole else n_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at that place."""
        self._resumed = state_dict.get("epoch", 0), state_dict.get("n_seen", 0)


class PairsDataModule(ResumableDataModule):
    """Serves one pairs directory.

    `prepare` is that directory, or what makes it (or finds it made) and returns it: it is called by `prepare_data` and,
    on every rank, by `setup`, so it must be cheap the second time. `seed` is that of order and cuts. Batches are
    float32 in [-1, 1] once `on_after_batch_transfer` has run, which Lightning does; before that they travel in the
    storage dtype. `tested`: a test follows the training, so that a split without test pairs is refused before it.
    """

    def __init__(
        self,
        settings: Data,
        prepare: Callable[[], Path] | Path | str,
        *,
        seed: int = 42,
        workers: int | Literal["auto"] = "auto",
        tested: bool = False,
    ) -> None:
        super().__init__(seed, workers)
        self.settings, self._prepare, self.tested = settings, prepare, tested
        self.pairs: PairsManifest | None = None
        self._headers: dict[str, Header] = {}
        self._cache: Cache | None = None

    def prepare_data(self) -> None:
        """Make the pairs, or find them made; Lightning calls this on one rank."""
        self._prepared()

    def setup(self, stage: str | None = None) -> None:
        """Open the pairs, check all of them cheaply, and fill the cache where training needs it.

        Raises:
            PairsError: with every problem found; nothing was trained yet.
        """
        if self.pairs is None:
            manifest = read_pairs(self._prepared())
            self._headers = quick_check(manifest)
            self.pairs = manifest
        if self.tested:
            self._require("test")
        if stage in {"fit", None} and self.settings.cache == "ram" and self._cache is None:
            pairs = [pair for pair in self.pairs.pairs if pair.split != "test"]
            self._cache = load(self.pairs, pairs, self._headers)
            n_bytes = sum(image.nbytes for image in self._cache.values())
            log.info("cache=ram: %d pairs in %.0f MiB", len(pairs), n_bytes / 2**20)

    def _prepared(self) -> Path:
        return Path(self._prepare() if callable(self._prepare) else self._prepare)

    @property
    def directory(self) -> Path:
        """Return where the pairs are; `setup` must have run."""
        assert self.pairs is not None
        return self.pairs.directory

    def dataset(self, split: SplitName, cutting: Cutting) -> PairsDataset:
        """Return one split as a dataset; only the test, which is read once, is never cached."""
        if self.pairs is None:
            self.setup()
        assert self.pairs is not None
        cache = None if split == "test" else self._cache
        dataset = PairsDataset(self.pairs, self.pairs.split(split), self._headers, cutting, cache)
        if split != "test":
            self._require(split)
        return dataset

    def _require(self, split: SplitName) -> None:
        """Raise PairsError for a split without pairs: for that of the test, too, before anything is trained."""
        assert self.pairs is not None
        if not self.pairs.split(split):
            raise PairsError(
                f"There are no pairs in {split}.",
                where=self.directory,
                expected=f"at least one; the split was {self.pairs.spec.get('split')}",
                fix="more photos (source.limit), or other shares: pairs.split.train, pairs.split.val, pairs.split.test",
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Random order and cuts, both drawn from (seed, epoch) and so the same after a resume; raise PairsError."""
        how = self.settings
        dataset = self.dataset("train", Cutting(how.crop, True, how.augment, self.seed, how.crops_per_photo))
        if how.batch_size > len(dataset):
            log.warning("data.batch_size=%d: an epoch has only %d pictures, one batch", how.batch_size, len(dataset))
        return self.train_loader(dataset, how.batch_size, shuffle=True, **self._options(dataset, how.batch_size))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Whole images, or their centres, in the order of the stems; raise PairsError."""
        return self._eval_loader(self.dataset("val", Cutting(self.settings.eval_crop)))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Whole images in the order of the stems."""
        return self._eval_loader(self.dataset("test", Cutting()))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the test loader: what predictions are made for."""
        return self.test_dataloader()

    def _eval_loader(self, dataset: PairsDataset) -> DataLoader[Batch]:
        size = self.settings.eval_batch_size
        return DataLoader(dataset, size, sampler=self.sampler(dataset, shuffle=False), **self._options(dataset, size))

    def _options(self, dataset: PairsDataset, batch_size: int) -> dict[str, Any]:
        cache: Literal["none", "ram"] = "none" if dataset.cache is None else "ram"
        return self.loader_options(-(-len(dataset) // batch_size), cache) | {"collate_fn": as_it_is}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """Convert to float32 in [-1, 1], once, on the device."""
        return to_network(batch)

    def state_dict(self) -> dict[str, Any]:
        """Name the pairs that a checkpoint was trained on, and the place in the order where it was made."""
        pairs = None if self.pairs is None else self.pairs.fingerprint
        return {"pairs": pairs, "seed": self.seed, **super().state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at that place, and say so when the pairs or the order are not those that the run began with."""
        now = self.state_dict()
        for name in ("pairs", "seed"):
            then = state_dict.get(name)
            if now[name] is not None and then != now[name]:
                log.warning("the checkpoint was trained on %s %s, this run has %s", name, then, now[name])
        super().load_state_dict(state_dict)


class ResumableLoader(DataLoader[Any]):
    """Tells Lightning that an epoch can be resumed in its middle; the data module restores the place."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: see `ResumableDataModule.state_dict`."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: the order was restored before this loader was made."""


def auto_workers(cache: Literal["none", "ram"], n_cpus: int) -> int:
    """Return how many processes should make batches on `n_cpus`.

    None on few cores, where sending a batch between processes takes longer than making it (experiments/bench/pairs.py);
    on many, some to hide it, more for files.
    """
    return min(4 if cache == "ram" else 8, n_cpus // 4)


def as_it_is(batch: Batch) -> Batch:
    """Collate nothing: the dataset returns whole batches."""
    return batch


def _start_worker(seed: int, worker: int) -> None:
    """Keep a worker to one thread and give it a stream of its own, for whatever a subclass may draw."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork
    torch.manual_seed(seed_for(seed, "worker", worker) % 2**63)
