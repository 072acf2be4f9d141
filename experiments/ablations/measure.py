"""Which network and which loss bring the most, at equal processor time on one core.

    python experiments/ablations/measure.py pairs=<a pairs directory> minutes=3 [only=cnn16_skip,unet_fold4]

Every candidate trains from seed 0 on random crops, mirrored and turned, with AdamW, a warm cosine over the processor
time it is given, gradients clipped to norm 1 and averaged weights (decay 0.99), in the processor's native type. Scores
are over whole photos of val and test in 8 bits, clamped. Prints a Markdown table and writes results.json beside itself.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor, nn

from jewelenh.evaluation.photos import read_pixels
from jewelenh.hardware import DTYPES, native_precision
from jewelenh.images import from_signed, to_signed, to_unit
from jewelenh.metrics import psnr_db
from jewelenh.pairs.contract import read_pairs
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.networks import RefinementCNN, RefinementUNet

DECAY = 0.99
Photos = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Candidate:
    """One line of the table."""

    network: Callable[[], nn.Module]
    crop: int
    batch: int
    lr: float
    loss: Callable[[], nn.Module] = PixelLoss
    """(refined, target) -> scalar; by default L1 + 0.5 MSE."""


class PsnrLoss(nn.Module):
    """Minus each picture's own PSNR in dB (Chen et al., NAFNet, ECCV 2022) with a floor at 50 dB, times 0.01."""

    def forward(self, refined: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the batch, values in [-1, 1]."""
        error = (refined - target).square().mean(dim=(1, 2, 3)) / 4  # of [0, 1]
        return 0.1 * torch.log10(error + 1e-5).mean()


def mostly_mse() -> nn.Module:
    """Return 0.1 L1 + 2 MSE."""
    return PixelLoss(0.1, 2.0)


CANDIDATES = {
    "study16": Candidate(lambda: RefinementCNN(16), 128, 8, 1e-4),
    "study16_lr": Candidate(lambda: RefinementCNN(16), 128, 8, 2e-3),
    "unet_fold2": Candidate(lambda: RefinementUNet(32, fold=2), 256, 4, 5e-4),
    "unet_fold4": Candidate(lambda: RefinementUNet(32, fold=4), 256, 4, 5e-4),
    "unet_fold2_mse": Candidate(lambda: RefinementUNet(32, fold=2), 256, 4, 5e-4, mostly_mse),
    "unet_fold4_mse": Candidate(lambda: RefinementUNet(32, fold=4), 256, 4, 5e-4, mostly_mse),
    "unet_fold4_psnr": Candidate(lambda: RefinementUNet(32, fold=4), 256, 4, 5e-4, PsnrLoss),
    "unet_fold2_psnr": Candidate(lambda: RefinementUNet(32, fold=2), 256, 4, 5e-4, PsnrLoss),
}


def main() -> None:
    """Train every candidate and print the table."""
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    torch.set_num_threads(1)
    pairs = read_pairs(Path(options["pairs"]))
    train, val, test = (_photos(pairs, split) for split in ("train", "val", "test"))
    chosen = options.get("only", ",".join(CANDIDATES)).split(",")
    print("| candidate | parameters | steps | val gain (dB) | test gain (dB) | improved | worst (dB) |")
    print("|---|---|---|---|---|---|---|")
    for name in chosen:
        torch.manual_seed(0)
        candidate = CANDIDATES[name]
        network = candidate.network().to(memory_format=torch.channels_last)
        averaged, n_steps = _train(network, candidate, train, 60 * float(options.get("minutes", "3")))
        gains = {"val": _gains(averaged, val), "test": _gains(averaged, test)}
        n = sum(parameter.numel() for parameter in network.parameters())
        _note(pairs.directory.name.split("-")[0], name, {"parameters": n, "steps": n_steps, **gains})
        t = gains["test"]
        print(
            f"| {name} | {n:,} | {n_steps} | {gains['val'].mean():+.2f} | {t.mean():+.2f} | {(t > 0).mean():.0%} "
            f"| {t.min():+.2f} |",
            flush=True,
        )


def _note(level: str, name: str, found: dict) -> None:
    """Keep every photo's gain beside this file."""
    file = Path(__file__).with_name(f"results_{level}.json")
    before = json.loads(file.read_text()) if file.exists() else {}
    plain = {k: v.round(4).tolist() if isinstance(v, np.ndarray) else v for k, v in found.items()}
    file.write_text(json.dumps({**before, name: plain}, indent=None) + "\n")


def _photos(pairs: object, split: str) -> Photos:
    both = [(input, target) for _, input, target in read_pixels(pairs, pairs.split(split))]
    stacked = (torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).contiguous() for side in zip(*both, strict=True))
    return tuple(stacked)


def _train(network: nn.Module, how: Candidate, photos: Photos, budget_s: float) -> tuple[nn.Module, int]:
    averaged, random = copy.deepcopy(network), np.random.default_rng(0)
    adam = torch.optim.AdamW(network.parameters(), how.lr, weight_decay=1e-4)
    loss_of, dtype = how.loss(), DTYPES[native_precision(torch.device("cpu"))]
    started_s, n_steps = time.process_time(), 0
    while (spent := (time.process_time() - started_s) / budget_s) < 1:
        for group in adam.param_groups:
            group["lr"] = how.lr * min(1.0, max(spent, 0.002) / 0.05) * (0.02 + 0.49 * (1 + np.cos(np.pi * spent)))
        input, target = _batch(photos, how, random)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            refined = network(input)
        loss = loss_of(refined.float(), target)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        n_steps += 1
        share = 1 - min(DECAY, (1 + n_steps) / (10 + n_steps))
        with torch.no_grad():
            for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
                old.lerp_(new, share)
            for old, new in zip(averaged.buffers(), network.buffers(), strict=True):
                old.copy_(new)
    return averaged.eval(), n_steps


def _batch(photos: Photos, how: Candidate, random: np.random.Generator) -> Photos:
    cuts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for number in random.integers(0, len(photos[0]), how.batch):
        top, left = random.integers(0, photos[0].shape[-1] - how.crop + 1, 2)
        turns, is_mirrored = int(random.integers(0, 4)), random.random() < 0.5
        for into, side in zip(cuts, photos, strict=True):
            cut = side[number, :, top : top + how.crop, left : left + how.crop]
            into.append(torch.rot90(cut.flip(-1) if is_mirrored else cut, turns, (1, 2)))
    first, second = (to_signed(torch.stack(side)).contiguous(memory_format=torch.channels_last) for side in cuts)
    return first, second


@torch.inference_mode()
def _gains(network: nn.Module, photos: Photos) -> np.ndarray:
    found, dtype = [], DTYPES[native_precision(torch.device("cpu"))]
    for input, target in zip(*photos, strict=True):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            refined = from_signed(network(to_signed(input[None])).float(), torch.uint8)
        unit = to_unit(target[None])
        found.append(float(psnr_db(to_unit(refined), unit) - psnr_db(to_unit(input[None]), unit)))
    return np.array(found)


if __name__ == "__main__":
    main()
