"""Can a shift between input and target be found, at every degradation level?

    python experiments/pair_alignment/measure.py PAIRS_DIRECTORY...

For pairs directories as `python -m jewelenh.pair` makes them: how often phase correlation is wrong, and how many pairs
`check=true` calls misaligned, as they are and with every input moved 3 pixels down and 2 to the right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from jewelenh.pairs.check import is_misaligned, shift_between
from jewelenh.pairs.contract import read_pairs

PLANTED = (3, 2)


def row(directory: Path, planted: tuple[int, int]) -> list[str]:
    made = read_pairs(directory)
    n_found, naive = 0, []
    for pair in made.pairs:
        target = made.pixels(pair.target).transpose(2, 0, 1)
        moved = np.roll(made.pixels(pair.input).transpose(2, 0, 1), planted, axis=(1, 2))
        shift = shift_between(moved, target)
        naive.append(np.hypot(shift[0] - planted[0], shift[1] - planted[1]))
        n_found += is_misaligned(moved, target, shift)
    level, n = made.spec["level"], len(made.pairs)
    wrong = sum(distance > 2 for distance in naive)
    return [level, str(n), f"{planted[0]}, {planted[1]}", f"{wrong}/{n}", f"{n_found}/{n}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", type=Path, nargs="+")
    heads = ["level", "pairs", "planted", "phase correlation wrong by > 2 px", "pairs called misaligned"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for directory in parser.parse_args().directories:
        for planted in ((0, 0), PLANTED):
            print("| " + " | ".join(row(directory, planted)) + " |")


if __name__ == "__main__":
    main()
