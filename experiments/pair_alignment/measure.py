"""Can a shift between input and target be found, at every degradation level?

    python experiments/pair_alignment/measure.py PAIRS_DIRECTORY...

For pairs directories as `python -m jewelenh.pair` makes them: how many pairs the doctor's test of single pairs and its
test of all together call misaligned, as they are and with every input moved 3 pixels down and 2 to the right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from jewelenh.images import grey_levels
from jewelenh.pairs.alignment import CommonShift, cross_phase, misaligned, shift_of
from jewelenh.pairs.contract import read_pairs
from jewelenh.pairs.npy import read_header, view
from jewelenh.pairs.store import planes

PLANTED = (3, 2)


def image(path: Path, layout) -> np.ndarray:
    return grey_levels(np.array(planes(view(path, read_header(path)), layout)), layout.range)


def row(directory: Path, planted: tuple[int, int]) -> list[str]:
    made = read_pairs(directory)
    common, n_found, naive, peaks = CommonShift(), 0, [], {}
    for pair in made.pairs:
        target = image(made.path(pair.target), made.format)
        moved = np.roll(image(made.path(pair.input), made.format), planted, axis=(1, 2))
        side = made.side(pair)
        phase = cross_phase(moved, target)
        shift = shift_of(phase, side)
        naive.append(np.hypot(shift.down - planted[0], shift.right - planted[1]))
        n_found += misaligned(moved, target, shift)
        common.add(phase, side)
        peaks[side] = shift_of(common._sums[side], side)
    level, n = made.spec["level"], len(made.pairs)
    wrong = sum(distance > 2 for distance in naive)
    together = ", ".join(f"{s} (peak {s.peak:.0f})" for s in peaks.values())
    verdict = ", ".join(str(shift) for shift in common.found().values()) or "nothing"
    return [level, str(n), f"{planted[0]}, {planted[1]}", f"{wrong}/{n}", f"{n_found}/{n}", together, verdict]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", type=Path, nargs="+")
    heads = [
        "level",
        "pairs",
        "planted",
        "correlation alone wrong by > 2 px",
        "pairs found",
        "all together",
        "reported",
    ]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for directory in parser.parse_args().directories:
        for planted in ((0, 0), PLANTED):
            print("| " + " | ".join(row(directory, planted)) + " |")


if __name__ == "__main__":
    main()
