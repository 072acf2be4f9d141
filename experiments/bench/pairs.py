"""How fast pairs are served, against the reference's way, in one run with the ways taking turns.

    python experiments/bench/pairs.py [--pairs 32] [--rounds 5]

The reference's way: `np.load` both float32 files whole, crop, collate, two DataLoader workers or none, whichever is
faster. `loader` is what the DataLoader yields: float32 there, the storage dtype here, which a GPU converts. `ready` has
it converted to float32 on this CPU. All files are in the page cache. Memory is what the process and its workers hold at
most during an epoch (proportional set size), above the start. GOALS are ratios of `loader` to the faster reference.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from jewelenh.config import Data, Pairs, Split
from jewelenh.images import Photo, encode_png
from jewelenh.manifest import Item, StoredFile, sha256_of
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.pairs.writer import write_pairs
from jewelenh.stage import Selection

SIZE = 512
TRAIN_ONLY = Split(train=1, val=0, test=0, near_duplicate_bits=None)
Loads = Callable[[], Iterator[dict]]
Make = Callable[[], tuple[Loads, Loads]]
GOALS = {"crops of 128 from 512": ("uint8, cache=ram", 5.0), "whole 512": ("uint8, cache=ram", 2.0)}


def synthetic_pairs(root: Path, n: int) -> dict[str, Path]:
    """Write the same noisy pictures as float32 and as uint8 pairs; return their directories."""
    rng = np.random.default_rng(0)
    items: dict[str, list[Item]] = {"raw": [], "inputs": [], "targets": []}
    for number in range(n):
        target = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 2)
        for kind, pixels in (("raw", target), ("targets", target), ("inputs", cv2.GaussianBlur(target, (0, 0), 2))):
            data = encode_png(Photo(pixels))
            path = root / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            stored = StoredFile(path.name, sha256_of(data), len(data))
            items[kind].append(Item(str(number), sha256_of(data), {"image": stored}, {"photo": str(number)}))
    raw, inputs, targets = (Selection(root / kind, kind, items[kind], {}) for kind in ("raw", "inputs", "targets"))
    made = {}
    for dtype in ("float32", "uint8"):
        pairs = Pairs(size=SIZE, dtype=dtype, split=TRAIN_ONLY)
        made[dtype] = write_pairs(raw, {"bench": inputs}, targets, "bench", pairs, 42, root).directory
    return made


class ReferenceDataset(Dataset):
    """What the reference implementation does, without its second normalisation."""

    def __init__(self, directory: Path, crop: int | None) -> None:
        self.inputs = sorted((directory / "train").glob("*_input.npy"))
        self.crop = crop

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict:
        path = self.inputs[index]
        target_path = path.with_name(path.name.replace("_input", "_target"))
        pair = {"input": np.load(path), "target": np.load(target_path)}
        top = left = 0
        side = SIZE
        if self.crop is not None:
            side = self.crop
            top, left = (int(v) for v in torch.randint(0, SIZE - side + 1, (2,)))
        cut = {role: np.ascontiguousarray(a[:, top : top + side, left : left + side]) for role, a in pair.items()}
        return {**{role: torch.from_numpy(a) for role, a in cut.items()}, "stem": path.stem}


def reference(directory: Path, crop: int | None, batch_size: int, workers: int) -> tuple[Loads, Loads]:
    loader = DataLoader(
        ReferenceDataset(directory, crop),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return (lambda: iter(loader),) * 2


def ours(directory: Path, crop: int | None, batch_size: int, cache: str) -> tuple[Loads, Loads]:
    """Return what yields batches as the loader makes them, and what yields them converted."""
    data = PairsDataModule(Data(batch_size=batch_size, crop=crop, cache=cache), directory)
    data.setup("fit")
    loader = data.train_dataloader()
    return lambda: iter(loader), lambda: map(data.on_after_batch_transfer, loader)


def family_bytes() -> int:
    """Return the proportional set size of this process and its children (Linux)."""
    pids = [multiprocessing.current_process().pid, *(child.pid for child in multiprocessing.active_children())]
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def peak_mib(make: Make, answer: multiprocessing.SimpleQueue) -> None:
    """Put the most memory of an epoch, above the start, into `answer`."""
    torch.set_num_threads(1)
    before, most = family_bytes(), 0
    for _ in make()[1]():
        most = max(most, family_bytes())
    answer.put((most - before) / 2**20)


def memory_of(make: Make) -> float:
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    process = context.Process(target=peak_mib, args=(make, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the memory of a way could not be measured: exit code {process.exitcode}")
    return answer.get()


def compare(title: str, ways: dict[str, Make], n_pairs: int, rounds: int, epochs: int) -> dict:
    """Let the ways take turns; print pairs/s, their ratios to the faster reference, and memory."""
    memory = {name: memory_of(make) for name, make in ways.items()}
    loads = {name: make() for name, make in ways.items()}
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):
        for name, both in loads.items():
            for kind, load in enumerate(both):
                started_s = time.perf_counter()
                for _ in range(epochs):
                    for _ in load():
                        pass
                if turn > 0:  # the first turn starts workers and warms the page cache
                    seconds.setdefault((name, kind), []).append(time.perf_counter() - started_s)
    speed = {key: epochs * n_pairs / statistics.median(times) for key, times in seconds.items()}
    best = max(value for (name, _), value in speed.items() if name.startswith("reference"))
    print(f"\n{title}: median of {rounds} turns, {epochs} x {n_pairs} pairs each")
    print(f"  {'way':<24}{'loader/s':>10}{'ratio':>7}{'ready/s':>10}{'ratio':>7}{'MiB':>7}")
    for name in ways:
        raw, ready = speed[name, 0], speed[name, 1]
        print(f"  {name:<24}{raw:>10.0f}{raw / best:>7.1f}{ready:>10.0f}{ready / best:>7.1f}{memory[name]:>7.0f}")
    goal, at_least = GOALS[title]
    ratio = speed[goal, 0] / best
    verdict = "ok" if ratio >= at_least else "MISSED"
    print(f"  {goal}: {ratio:.1f} times the reference, at least {at_least:g} wanted: {verdict}")
    return {
        "ratio": {f"{name} {('loader', 'ready')[kind]}": v / best for (name, kind), v in speed.items()},
        "mib": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        made = synthetic_pairs(Path(folder), arguments.pairs)
        for title, crop, batch_size, epochs in (("crops of 128 from 512", 128, 16, 4), ("whole 512", None, 4, 1)):
            ways: dict[str, Make] = {
                f"reference, {workers} workers": lambda workers=workers, crop=crop, size=batch_size: reference(
                    made["float32"], crop, size, workers
                )
                for workers in (0, 2)
            }
            for dtype in ("float32", "uint8"):
                for cache in ("none", "ram"):
                    ways[f"{dtype}, cache={cache}"] = lambda dtype=dtype, cache=cache, crop=crop, size=batch_size: ours(
                        made[dtype], crop, size, cache
                    )
            results[title] = compare(title, ways, arguments.pairs, arguments.rounds, epochs)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
