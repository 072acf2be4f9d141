"""Score whole chains by what they make of degraded test photos, at the photos' own size, against the raw photos.

    python experiments/finetune_general/measure.py <best.ckpt> [<best.ckpt> ...]

Targets are made by the enhancer, so a pair's PSNR compares networks only under one enhancer. The raw photo does not
depend on it: here it is what every chain has to come back to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from jewelenh.evaluation.photos import find_originals
from jewelenh.evaluation.scores import bootstrap_interval
from jewelenh.images import Pixels, read_photo, to_unit
from jewelenh.metrics import psnr_db, ssim
from jewelenh.pairs.contract import read_pairs
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.restoration.restorer import Restorer

STEPS = ("degraded", "enhanced", "refined")


def main(checkpoints: list[str]) -> None:
    scores = [measure(Path(name)) for name in checkpoints]
    for name, found in zip(checkpoints, scores, strict=True):
        print(name)
        for step in STEPS:
            means = np.mean([row[step] for row in found], axis=0)
            print(f"  {step:10}{means[0]:8.2f} dB   SSIM {means[1]:.4f}   ({len(found)} photos)")
    for name, found in zip(checkpoints[1:], scores[1:], strict=True):
        gains = np.array([a["refined"][0] - b["refined"][0] for a, b in zip(found, scores[0], strict=True)])
        low, high = bootstrap_interval(gains)
        print(f"{name}: {gains.mean():+.2f} dB refined against the first, 95 % interval {low:+.2f} to {high:+.2f}")


def measure(file: Path) -> list[dict[str, tuple[float, float]]]:
    checkpoint = read_checkpoint(file)
    restorer = Restorer(checkpoint.network(), checkpoint.enhancer)
    pairs = read_pairs(checkpoint.pairs_dir)
    tests = pairs.split("test")
    originals = find_originals(pairs, tests)
    rows = []
    for pair in tests:
        found = originals[pair.stem]
        assert found.raw and found.degraded, pair.stem
        raw, degraded = read_photo(found.raw).pixels, read_photo(found.degraded).pixels
        made = {
            "degraded": degraded,
            "enhanced": restorer.restore(degraded, strength=0.0, scale=1.0),
            "refined": restorer.restore(degraded, scale=1.0),
        }
        rows.append({step: score(pixels, raw) for step, pixels in made.items()})
    return rows


def score(made: Pixels, raw: Pixels) -> tuple[float, float]:
    first, second = (to_unit(torch.from_numpy(pixels.copy())).permute(2, 0, 1)[None] for pixels in (made, raw))
    return float(psnr_db(first, second)), float(ssim(first, second))


if __name__ == "__main__":
    main(sys.argv[1:])
