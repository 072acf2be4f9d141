"""How much a perfect colour correction alone would gain: per test photo, the affine map of RGB that fits `target` best.

python experiments/real_photos/colour_bound.py <pairs directory> ...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from jewelenh.evaluation.photos import read_pixels
from jewelenh.images import Pixels
from jewelenh.metrics import as_batch, psnr_db
from jewelenh.pairs.contract import read_pairs


def fitted(input: Pixels, target: Pixels) -> Pixels:
    """Return `input` under the 3x4 map that is nearest to `target` in the mean square."""
    colours = np.c_[input.reshape(-1, 3), np.ones(input.shape[0] * input.shape[1])].astype(np.float64)
    best, *_ = np.linalg.lstsq(colours, target.reshape(-1, 3).astype(np.float64), rcond=None)
    return (colours @ best).clip(0, 255).round().astype(np.uint8).reshape(input.shape)


def main() -> None:
    """Print the mean gain of each pairs directory's test split."""
    for name in sys.argv[1:]:
        pairs = read_pairs(Path(name))
        gains = []
        for _, input, target in read_pixels(pairs, pairs.split("test")):
            before, after = (float(psnr_db(as_batch(p), as_batch(target))[0]) for p in (input, fitted(input, target)))
            gains.append(after - before)
        print(f"{pairs.directory.name}: {np.mean(gains):+.2f} dB over {len(gains)} photos")


if __name__ == "__main__":
    main()
