"""How fast a training step is, against the reference study's loop, in one run with the loops taking turns.

    python experiments/bench/training.py [--rounds 3] [--steps 2] [--size 512] [--batch 4] [--features 64]

`reference`: the study's network and loss in a plain loop as it was written: float32, default memory format, Adam.
`bare`: the same network in a plain loop with what we use: autocast to the hardware's native type, channels_last, fused
Adam. `ours`: that through RefinementModule and pytorch_lightning.Trainer, as `jewelenh.train model=study` runs it, with
logging every step. All see the same tensors. Medians of all steps but each turn's first. Then, on a small size, 50
steps of `reference` and `ours` from the same weights: how far their loss curves part.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from jewelenh.hardware import DTYPES, find_device, n_cores, native_precision
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.module import RefinementModule
from jewelenh.refinement.networks import RefinementCNN

GOAL = 2.5
PRECISIONS = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}
LR, BETAS = 1e-4, (0.5, 0.999)


@dataclass
class Turn:
    """What one turn of a loop gave."""

    seconds: list[float]
    losses: list[float]


def drawn(n: int, size: int, device: torch.device) -> list[dict[str, Tensor]]:
    """Return batches' worth of smooth pictures and their blurred selves, float32 in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, size // 8, size // 8, generator=generator) * 2 - 1
    target = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(-1, 1)
    input = nn.functional.avg_pool2d(target, 9, stride=1, padding=4, count_include_pad=False)
    return [{"input": i.to(device), "target": t.to(device)} for i, t in zip(input, target, strict=True)]


def plain(network: nn.Module, batches: list[dict[str, Tensor]], *, fast: bool, device: torch.device) -> Turn:
    """Train in a plain loop: forward, loss, backward, Adam."""
    network = network.to(device)
    precision = DTYPES[native_precision(device)] if fast else torch.float32
    if fast:
        network = network.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=LR, betas=BETAS, fused=fast)
    loss_of, turn = PixelLoss(), Turn([], [])
    for batch in batches:
        started_s = now_s(device)
        input = batch["input"].contiguous(memory_format=torch.channels_last) if fast else batch["input"]
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            refined = network(input)
        loss = loss_of(refined.float(), batch["target"])
        adam.zero_grad()
        loss.backward()
        adam.step()
        turn.losses.append(float(loss.detach()))
        turn.seconds.append(now_s(device) - started_s)
    return turn


class Watch(pl.Callback):
    """Note each step's time, from one batch's end to the next, and its loss."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.turn, self.last_s = device, Turn([], []), 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.last_s = now_s(self.device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: dict, *_: object) -> None:
        """Note the step."""
        self.turn.losses.append(float(outputs["loss"]))
        now = now_s(self.device)
        self.turn.seconds.append(now - self.last_s)
        self.last_s = now


def ours(network: nn.Module, batches: list[dict[str, Tensor]], device: torch.device) -> Turn:
    """Train through the LightningModule and the Trainer."""
    module = RefinementModule(network, PixelLoss(), functools.partial(torch.optim.Adam, lr=LR, betas=BETAS, fused=True))
    watch = Watch(device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision=PRECISIONS[native_precision(device)],
            max_epochs=1,
            callbacks=[watch],
            logger=CSVLogger(folder),
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(module, DataLoader(batches, batch_size=None, num_workers=0))
    return watch.turn


def now_s(device: torch.device) -> float:
    """Return a time at which the device's work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def loops(device: torch.device) -> dict[str, Callable[[nn.Module, list[dict[str, Tensor]]], Turn]]:
    """Return the three ways by name."""
    return {
        "reference": functools.partial(plain, fast=False, device=device),
        "bare": functools.partial(plain, fast=True, device=device),
        "ours": functools.partial(ours, device=device),
    }


def main() -> None:
    """Measure, then print the table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"rounds": 3, "steps": 2, "size": 512, "batch": 4, "features": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    quiet()
    device = find_device("auto")
    torch.set_num_threads(n_cores())
    torch.manual_seed(0)
    start = RefinementCNN(options.features)
    pictures = drawn(options.batch, options.size, device)
    batch = {name: torch.stack([picture[name] for picture in pictures]) for name in ("input", "target")}
    seconds: dict[str, list[float]] = {name: [] for name in loops(device)}
    for _ in range(options.rounds):
        for name, loop in loops(device).items():
            seconds[name] += loop(copy.deepcopy(start), [batch] * (options.steps + 1)).seconds[1:]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    named = torch.cuda.get_device_name() if device.type == "cuda" else f"{n_cores()} CPU cores"
    print(f"{named}, {native_precision(device)}; batch {options.batch} of {options.size}x{options.size}")
    for name, value in medians.items():
        rate = options.batch / value
        print(f"{name:<10} {value:8.3f} s a step  {rate:8.2f} pictures/s  {medians['reference'] / value:5.2f} times")
    ratio, overhead = medians["reference"] / medians["ours"], medians["ours"] / medians["bare"] - 1
    print(
        f"ours against the reference: {ratio:.2f} times (goal {GOAL}); Lightning against the bare loop: {overhead:+.1%}"
    )
    curves(device)
    print(json.dumps({"median_s": medians, "ratio": ratio, "overhead": overhead}))


def curves(device: torch.device, n_steps: int = 50, size: int = 64) -> None:
    """Say how far the losses of `ours` are from those of `reference`, beside how far another order of batches is."""
    torch.manual_seed(1)
    start = RefinementCNN(16)
    pictures = drawn(4 * n_steps, size, device)
    batches = [
        {name: torch.stack([p[name] for p in pictures[4 * k : 4 * k + 4]]) for name in ("input", "target")}
        for k in range(n_steps)
    ]
    found = {name: loop(copy.deepcopy(start), batches).losses for name, loop in loops(device).items() if name != "bare"}
    other = plain(copy.deepcopy(start), batches[::-1], fast=False, device=device).losses
    last = {name: statistics.mean(values[-10:]) for name, values in {**found, "other order": other}.items()}
    apart = max(abs(a - b) / a for a, b in zip(*found.values(), strict=True))
    print(f"50 steps, small: losses part by at most {apart:.2%}; mean of the last ten:", end=" ")
    print(", ".join(f"{name} {value:.5f}" for name, value in last.items()))


def quiet() -> None:
    """Leave out what Lightning says about itself."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


if __name__ == "__main__":
    main()
