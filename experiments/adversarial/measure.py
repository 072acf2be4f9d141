"""What adversarial training does to PSNR and to sharpness, on the test photos of the pairs it was trained on.

    python experiments/adversarial/measure.py before=<checkpoint> after=<checkpoint>

Sharpness is the mean length of the gradient of luma (Rec. 601, central differences, 8-bit values) over a photo, divided
by that of `target`: 1 is as sharp, less is softer, more is harsher. Means over the photos; `off` is how far the
sharpness of a photo is from 1, on average.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from jewelenh.evaluation.photos import read_pixels
from jewelenh.images import Pixels
from jewelenh.metrics import as_batch, psnr_db, ssim
from jewelenh.pairs.contract import read_pairs
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.restoration.restorer import Restorer

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def edges(pixels: Pixels) -> float:
    """Return the mean length of the gradient of luma, in grey levels a pixel."""
    rows, columns = np.gradient(pixels.astype(np.float32) @ LUMA)
    return float(np.hypot(rows, columns).mean())


def main() -> None:
    """Print a Markdown table."""
    files = dict(argument.split("=", 1) for argument in sys.argv[1:])
    restorers = {name: Restorer.from_checkpoint(file) for name, file in files.items()}
    pairs = read_pairs(read_checkpoint(Path(files["after"])).pairs_dir)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("input", *restorers)}
    for _, input, target in read_pixels(pairs, pairs.split("test")):
        pictures = {"input": input, **{name: restorer.refine(input) for name, restorer in restorers.items()}}
        for name, picture in pictures.items():
            both = as_batch(picture), as_batch(target)
            found[name].append((float(psnr_db(*both)[0]), float(ssim(*both)[0]), edges(picture) / edges(target)))
    print("| picture | PSNR (dB) | SSIM | sharpness | off |\n|---|---|---|---|---|")
    for name, values in found.items():
        psnr, structure, sharp = np.array(values).T
        off = np.abs(sharp - 1).mean()
        print(f"| {name} | {psnr.mean():.2f} | {structure.mean():.4f} | {sharp.mean():.3f} | {off:.3f} |")


if __name__ == "__main__":
    main()
