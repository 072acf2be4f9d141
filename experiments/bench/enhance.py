"""How fast is the enhancement stage, against the official engine and against the bare network, in one run?

    python experiments/bench/enhance.py [n photos]

262x262 photos, the shape of general_x4v3. With JEWELENH_SHARED set, its photos and weights; else drawn photos and
random weights, which take as long. The candidates take turns, so that whatever else the machine does hits all of them.
Wall time says what a user gets; processor time is steadier on a machine that others use, too.
"""

from __future__ import annotations

import copy
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from jewelenh.config import Enhancer, Source
from jewelenh.enhancement.run import enhance
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.hardware import DTYPES, find_device, native_precision
from jewelenh.images import to_unit
from jewelenh.sources import fetch

SIDE = 262
ROUNDS = 3
GOALS = (("batched", "official", 3.5), ("batched", "bare", 0.85))


@dataclass
class Candidate:
    """Something that enlarges photos; `run` gets how many."""

    what: str
    n_photos: int
    run: Callable[[int], None]
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def take_turn(self) -> None:
        """Measure one round."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        self.run(self.n_photos)
        self.wall_s.append((time.perf_counter() - wall_s) / self.n_photos)
        self.cpu_s.append((time.process_time() - cpu_s) / self.n_photos)


def random_weights(folder: Path) -> Path:
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    file = folder / "general_x4v3_random.pth"
    torch.save({"params": Compact(num_feat=64, num_conv=32, upscale=4).state_dict()}, file)
    return file


def drawn_photos(folder: Path, count: int) -> Path:
    """Write rings on white, as product photos are."""
    folder.mkdir()
    for k in range(count):
        draw = np.random.default_rng(k)
        photo = np.full((SIDE, SIDE, 3), 250, np.uint8)
        for _ in range(6):
            axes = (int(draw.integers(20, 90)), int(draw.integers(20, 90)))
            cv2.ellipse(photo, (131, 131), axes, float(draw.uniform(0, 180)), 0, 360, (60, 160, 212), 6, cv2.LINE_AA)
        grain = draw.normal(0, 3, photo.shape)
        cv2.imwrite(str(folder / f"{k:03}.jpg"), (photo + grain).clip(0, 255).astype(np.uint8))
    return folder


def candidates(work: Path, root: Path, weights: Path, n_photos: int) -> dict[str, Candidate]:
    logging.disable(logging.WARNING)
    raw = fetch(Source(kind="folder", root=root, limit=n_photos), 42, work / "data")
    files = [raw.file(item) for item in raw.items]
    enhancer = Enhancer(name="general_x4v3", weights=weights)
    numbers = itertools.count()

    def batched(count: int) -> None:
        """Everything a user waits for: hashing, loading, decoding, network, PNG, fsync, manifest."""
        made = enhance(raw, "raw", enhancer, work / f"run{next(numbers)}", None)
        assert made.n_made == count

    found = {"batched": Candidate("this engine, files in, files out", len(files), batched)}
    found["bare"] = Candidate("bare network, native precision, no files", 8, bare_network(enhancer))
    try:
        found["official"] = Candidate("RealESRGANer fp32, files in, files out", 3, official(enhancer, files, work))
    except ImportError as error:
        print(f"without the official engine: {error}")
    return found


def bare_network(enhancer: Enhancer) -> Callable[[int], None]:
    """Return the network alone on tensors that are ready, one photo a core: the fastest way of running it here."""
    upscaler = Upscaler.load(enhancer)
    dtype = DTYPES[native_precision(find_device("auto"))]
    network: nn.Module = copy.deepcopy(upscaler.network.module).to(dtype=dtype, memory_format=torch.channels_last)
    unit = to_unit(torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)).to(dtype)
    n_cores = torch.get_num_threads()

    def once(_: int) -> Tensor:
        with torch.inference_mode():
            return network(unit)

    def run(count: int) -> None:
        with ThreadPoolExecutor(n_cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(once, range(count)))
        torch.set_num_threads(n_cores)

    return run


def official(enhancer: Enhancer, files: list[Path], work: Path) -> Callable[[int], None]:
    """Return what its own script does: imread, enhance, imwrite; loading is left out of its time."""
    upscaler = Upscaler.load(Enhancer(name="general_x4v3", weights=enhancer.weights, engine="official"))
    assert upscaler.official

    def run(count: int) -> None:
        for file in files[:count]:
            large, _ = upscaler.official.engine.enhance(cv2.imread(str(file), cv2.IMREAD_UNCHANGED))
            cv2.imwrite(str(work / "official.png"), large)

    return run


def main() -> None:
    n_photos = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    shared = os.environ.get("JEWELENH_SHARED")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = Path(shared) / "photos" if shared else drawn_photos(work / "photos", n_photos)
        weights = Path(shared) / "weights" / "realesr-general-x4v3.pth" if shared else random_weights(work)
        found = candidates(work, root, weights, n_photos)
        for candidate in found.values():
            candidate.run(candidate.n_photos)  # warms up caches and threads, not counted
        for _ in range(ROUNDS):
            for candidate in found.values():
                candidate.take_turn()
    report(found)


def report(found: dict[str, Candidate]) -> None:
    device = find_device("auto")
    print(
        f"\n{SIDE}x{SIDE}, {device}, {native_precision(device)} native, "
        f"{torch.get_num_threads()} cores, {ROUNDS} rounds, {found['batched'].n_photos} photos"
    )
    print(f"{'':45}{'photos/s':>10}{'s wall':>9}{'s cpu':>9}")
    for candidate in found.values():
        wall_s, cpu_s = statistics.median(candidate.wall_s), statistics.median(candidate.cpu_s)
        print(f"{candidate.what:45}{1 / wall_s:10.2f}{wall_s:9.3f}{cpu_s:9.3f}")
    for name, other, goal in GOALS:
        if other not in found:
            continue
        pairs = zip(found[name].wall_s, found[other].wall_s, strict=True)
        by_wall = statistics.median(theirs / ours for ours, theirs in pairs)
        by_cpu = statistics.median(found[other].cpu_s) / statistics.median(found[name].cpu_s)
        word = "reached" if by_wall >= goal else "MISSED"
        print(f"{name} / {other}: {by_wall:.2f} by wall, {by_cpu:.2f} by processor time; goal {goal}: {word}")


if __name__ == "__main__":
    main()
