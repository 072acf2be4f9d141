"""How much of a training step goes into loading, for each cache, on a GPU?

    python experiments/pairs_on_device/measure.py [--pairs 256] [--device cuda]

Trains RefinementCNN (64 features, bf16 autocast) on whole 512 images in batches of 4 and on crops of 128 in batches of
16. Each step is timed twice in turn: with the next batch from the loader, and with one batch that lies on the device
already. The loader's share is (with - without) / with. Also the time of one gather on the device, by its own events.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.pairs.dataset import DeviceStore
from jewelenh.refinement.networks import RefinementCNN

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from pairs import synthetic_pairs

N_STEPS = 40


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def stepper(device: torch.device) -> Callable[[dict], None]:
    network = RefinementCNN(features=64).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, betas=(0.5, 0.999), fused=device.type == "cuda")

    def step(batch: dict) -> None:
        with torch.autocast(device.type, torch.bfloat16):
            refined = network(batch["input"].to(memory_format=torch.channels_last))
            loss = (refined - batch["target"]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def batches(data: PairsDataModule, device: torch.device):
    loader = data.train_dataloader()
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            yield data.on_after_batch_transfer(data.transfer_batch_to_device(batch, device, 0))


def measure(directory: Path, cache: str, crop: int | None, batch_size: int, device: torch.device) -> dict[str, float]:
    data = PairsDataModule(directory, batch_size=batch_size, crop=crop, cache=cache)
    data.setup("fit")
    data.trainer = None
    step, source = stepper(device), batches(data, device)
    still = next(source)
    times: dict[str, list[float]] = {"with": [], "without": []}
    for turn in range(8):
        for name, taken in times.items():
            synchronise(device)
            started_s = time.perf_counter()
            for _ in range(N_STEPS if device.type == "cuda" else 1):
                step(next(source) if name == "with" else still)
            synchronise(device)
            if turn > 1:
                taken.append(time.perf_counter() - started_s)
    loaded, bare = (statistics.median(times[name]) for name in ("with", "without"))
    per_step = N_STEPS if device.type == "cuda" else 1
    store = data._device_store
    return {
        "step_ms": loaded / per_step * 1e3,
        "bare_ms": bare / per_step * 1e3,
        "share": (loaded - bare) / loaded,
        "gather_ms": gather_ms(data, store, device) if isinstance(store, DeviceStore) else float("nan"),
        "device_mib": store.flat.nbytes / 2**20 if store is not None else 0.0,
    }


def gather_ms(data: PairsDataModule, store: DeviceStore, device: torch.device) -> float:
    cut = next(iter(data.train_dataloader()))["cut"]
    store.gather(cut)
    synchronise(device)
    started_s = time.perf_counter()
    for _ in range(20):
        store.gather(cut)
    synchronise(device)
    return (time.perf_counter() - started_s) / 20 * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--crops-only", action="store_true", help="for a trial without a GPU")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {arguments.pairs} pairs of 512")
    print(f"{'batches':<12}{'cache':<9}{'step ms':>9}{'bare ms':>9}{'loader':>9}{'gather ms':>11}{'MiB there':>11}")
    with tempfile.TemporaryDirectory() as folder:
        directory = synthetic_pairs(Path(folder), arguments.pairs)["uint8"]
        shapes = [(128, 16)] if arguments.crops_only else [(None, 4), (128, 16)]
        for crop, batch_size in shapes:
            for cache in ("none", "ram", "device"):
                found = measure(directory, cache, crop, batch_size, device)
                print(
                    f"{f'{batch_size} x {crop or 512}':<12}{cache:<9}{found['step_ms']:>9.2f}{found['bare_ms']:>9.2f}"
                    f"{found['share']:>9.1%}{found['gather_ms']:>11.3f}{found['device_mib']:>11.0f}"
                )


if __name__ == "__main__":
    main()
