"""Batches of pairs in their storage dtype, gathered straight into one array; conversion to floats comes later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from jewelenh.errors import PairsError
from jewelenh.images import signed_from
from jewelenh.pairs.contract import Pair, PairsManifest
from jewelenh.pairs.draw import Cut, centre, draw, turned
from jewelenh.pairs.npy import Array, Header, view
from jewelenh.pairs.store import Store, planes
from jewelenh.seeds import generator_for

Batch: TypeAlias = dict[str, Any]
Key: TypeAlias = "tuple[int, int] | int"
"""(epoch, index): the epoch travels with the index, so workers that live on for many epochs need not be told."""


@dataclass(frozen=True)
class Cutting:
    """How the images of a split are cut."""

    crop: int | None = None
    """Side in pixels; None shows the whole image."""
    is_random: bool = False
    """Drawn per (seed, epoch, stem); otherwise the centre."""
    augment: bool = False
    """Mirror and quarter turns, only where random."""
    seed: int = 42
    per_photo: int = 1
    """Cuts of each pair in one epoch, each a draw of its own."""


class PairsDataset(Dataset[Batch]):
    """One split of a pairs directory; takes a whole batch of keys at once and returns it collated.

    `input`, `target`: (B, 3, h, w) in the storage dtype, colours and layout already RGB and CHW; `stem`: list of str.
    With `on_device` a batch is only what to cut from where; `DeviceStore` does the rest.
    """

    def __init__(
        self,
        manifest: PairsManifest,
        pairs: Sequence[Pair],
        headers: Mapping[str, Header],
        cutting: Cutting | None = None,
        *,
        store: Store | None = None,
        on_device: bool = False,
    ) -> None:
        self.manifest, self.pairs, self.headers, self.store = manifest, tuple(pairs), headers, store
        self.cutting = cutting or Cutting()
        self.on_device = on_device
        self._check_sides()

    def __len__(self) -> int:
        return len(self.pairs) * self.cutting.per_photo

    def __getitem__(self, key: Key) -> Batch:
        """Return one pair, without the batch dimension."""
        batch = self.__getitems__([key])
        return {name: value[0] for name, value in batch.items()}

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """Return the batch of `keys`."""
        chosen = [key if isinstance(key, tuple) else divmod(key, len(self.pairs)) for key in keys]
        pairs = [self.pairs[index] for _, index in chosen]
        cuts = [self.cut(pair, epoch) for (epoch, _), pair in zip(chosen, pairs, strict=True)]
        self._check_one_size(cuts)
        stems = [pair.stem for pair in pairs]
        if self.on_device:
            return {"cut": self._instructions(pairs, cuts), "stem": stems}
        inputs = self._gather([pair.input.path for pair in pairs], cuts)
        targets = self._gather([pair.target.path for pair in pairs], cuts)
        return {"input": inputs, "target": targets, "stem": stems}

    def cut(self, pair: Pair, epoch: int) -> Cut:
        """Return what is shown of a pair in an epoch."""
        side, how = self.manifest.side(pair), self.cutting
        if how.is_random:
            return draw(side, how.crop, how.augment, (how.seed, epoch, pair.stem))
        return centre(side, how.crop)

    def _gather(self, paths: list[str], cuts: list[Cut]) -> torch.Tensor:
        first = self._image(paths[0])
        batch = np.empty((len(paths), 3, *cuts[0].shape), first.dtype)
        for position, (path, cut) in enumerate(zip(paths, cuts, strict=True)):
            cut.copy(self._image(path), batch[position])
        return torch.from_numpy(batch)

    def _image(self, path: str) -> Array:
        if self.store is not None:
            return self.store.image(path)
        return planes(view(self.manifest.directory / path, self.headers[path]), self.manifest.format)

    def _instructions(self, pairs: list[Pair], cuts: list[Cut]) -> torch.Tensor:
        """Return (B, 9) int64: offsets of input, target; height, width; the cut's top, left, turn, height, width."""
        assert self.store is not None
        rows = []
        for pair, cut in zip(pairs, cuts, strict=True):
            offsets = self.store.offsets
            where = [offsets[pair.input.path], offsets[pair.target.path], *self.manifest.side(pair)]
            rows.append([*where, cut.top, cut.left, cut.dihedral, cut.height, cut.width])
        return torch.tensor(rows, dtype=torch.int64)

    def _check_one_size(self, cuts: list[Cut]) -> None:
        shapes = sorted({cut.shape for cut in cuts})
        if len(shapes) > 1:
            raise PairsError(
                "Images of different sizes do not make a batch.",
                where=self.manifest.directory,
                found=shapes,
                fix="data.crop=<pixels> for training, data.eval_batch_size=1 for evaluation",
            )

    def _check_sides(self) -> None:
        crop = self.cutting.crop
        small = [pair for pair in self.pairs if crop is not None and min(self.manifest.side(pair)) < crop]
        if small and self.cutting.is_random:
            raise PairsError(
                f"{len(small)} images are smaller than the crop.",
                where=self.manifest.directory,
                expected=f"at least {crop} pixels a side",
                found=f"{small[0].stem}: {self.manifest.side(small[0])}",
                fix=f"data.crop={min(min(self.manifest.side(pair)) for pair in small)}",
            )


class DeviceStore:
    """A `Store` on the device, and the one gather that crops, mirrors and turns a whole batch there."""

    def __init__(self, store: Store, device: torch.device) -> None:
        _check_device_memory(store.n_bytes, device)
        self.flat = torch.from_numpy(store.flat).to(device)
        self._tables: dict[tuple[int, int, int], torch.Tensor] = {}

    def gather(self, cut: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `input` and `target`, (B, 3, h, w) in the store's dtype, for the rows of `PairsDataset`.

        `cut` lies on the host, so that its sizes need not be fetched from the device.
        """
        height, width, dihedral = int(cut[0, 7]), int(cut[0, 8]), cut[:, 6].tolist()
        tables = [self._table(height, width, d) for d in dihedral]
        device = self.flat.device
        rows, columns = torch.stack([table[0] for table in tables]), torch.stack([table[1] for table in tables])
        where = cut.to(device, non_blocking=True)
        row = rows + where[:, 4, None, None]
        column = columns + where[:, 5, None, None]
        plane = (row * where[:, 3, None, None] + column)[:, None]  # (B, 1, h, w): position inside one colour plane
        colour = torch.arange(3, device=device)[None, :, None, None] * (where[:, 2] * where[:, 3])[:, None, None, None]
        inside = plane + colour
        both = (self.flat[inside + where[:, side, None, None, None]] for side in (0, 1))
        return cast("tuple[torch.Tensor, torch.Tensor]", tuple(both))

    def _table(self, height: int, width: int, dihedral: int) -> torch.Tensor:
        """Return (2, h, w): the row and the column that each pixel of a mirrored, turned cut comes from."""
        key = (height, width, dihedral)
        if key not in self._tables:
            grid = np.indices((height, width))
            self._tables[key] = torch.from_numpy(turned(grid, dihedral).copy()).to(self.flat.device)
        return self._tables[key]


def _check_device_memory(n_bytes: int, device: torch.device) -> None:
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    if n_bytes > 0.8 * free:
        raise PairsError(
            "These pairs do not fit into the memory of the device.",
            expected=f"{n_bytes / 2**30:.1f} GiB",
            found=f"{free / 2**30:.1f} GiB free",
            fix="data.cache=ram",
        )


def to_network(batch: Batch, manifest: PairsManifest, device_store: DeviceStore | None = None) -> Batch:
    """Return a batch as the network takes it: `input`, `target` float32 (B, 3, h, w) in [-1, 1], `stem`."""
    if "cut" in batch:
        assert device_store is not None
        inputs, targets = device_store.gather(batch["cut"])
    else:
        inputs, targets = batch["input"], batch["target"]
    value_range = manifest.format.range
    return {
        "input": signed_from(inputs, value_range),
        "target": signed_from(targets, value_range),
        "stem": batch["stem"],
    }


class EpochSampler(DistributedSampler[Batch]):
    """Keys (epoch, index) in an order drawn from (seed, epoch): the same after a resume, whatever the workers.

    Ranks take every n-th key, padded to equal lengths as torch does. Being a `DistributedSampler`, it stays in place
    when Lightning runs on several devices. `start` skips keys of the next pass: what a resumed epoch has seen already.
    """

    def __init__(
        self, dataset: PairsDataset, *, shuffle: bool, seed: int = 42, rank: int = 0, n_ranks: int = 1
    ) -> None:
        super().__init__(dataset, num_replicas=n_ranks, rank=rank, shuffle=shuffle, seed=seed)
        self.start = 0

    def __iter__(self) -> Iterator[Any]:
        n, per_photo = len(cast(PairsDataset, self.dataset)), cast(PairsDataset, self.dataset).cutting.per_photo
        order = (
            generator_for(self.seed, "order", self.epoch).permutation(n).tolist() if self.shuffle else list(range(n))
        )
        padded = (order * (self.total_size // max(n, 1) + 1))[: self.total_size]
        mine = padded[self.rank : self.total_size : self.num_replicas]
        start, self.start = self.start, 0
        n_pairs = max(1, len(self.pairs))
        return iter([(self.epoch * per_photo + i // n_pairs, i % n_pairs) for i in mine[start:]])

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Return what is sampled."""
        return cast(PairsDataset, self.dataset).pairs
