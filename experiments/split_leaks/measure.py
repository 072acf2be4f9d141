"""How many near-duplicates does a folder of photos hold, and how many would a plain seeded split have leaked?

    python experiments/split_leaks/measure.py PHOTOS [--sheet pairs.png] [--seeds 200]

For each threshold: groups of more than one photo, the photos in them, the largest, and the pairs of photos that lie on
two sides of the split: a plain one (each photo alone) for seed 42 and on average over many seeds, and ours. `--sheet`
draws the nearest pairs with their distance, to judge the threshold by eye.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from jewelenh.config import Source, Split
from jewelenh.images import Photo, encode_png, read_photo, resize
from jewelenh.pairs.split import assign, group_photos, near_pairs, perceptual_hash

THRESHOLDS = (0, 2, 4, 6, 8, 10)
TILE = 120
WHITE = 255


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    endings = Source(kind="folder", root=folder).extensions
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    return {path.relative_to(folder).as_posix(): read_photo(path).as_uint8().pixels for path in files}


def straddling(near: list[tuple[str, str]], sides: dict[str, str]) -> int:
    return sum(sides[a] != sides[b] for a, b in near)


def row(hashes: dict[str, int], bits: int, n_seeds: int) -> list[str]:
    names = list(hashes)
    near = [(names[i], names[j]) for i, j in near_pairs([hashes[name] for name in names], bits)]
    sizes = [n for n in Counter(group_photos(hashes, bits, 42).values()).values() if n > 1]
    alone = {name: name for name in names}
    leaks = [straddling(near, assign(alone, Split(), seed)) for seed in [42, *range(n_seeds)]]
    ours = max(straddling(near, assign(group_photos(hashes, bits, s), Split(), s)) for s in [42, *range(n_seeds)])
    counts = Counter(assign(group_photos(hashes, bits, 42), Split(), 42).values())
    split = f"{counts['train']}/{counts['val']}/{counts['test']}"
    largest = str(max(sizes, default=1))
    figures = [bits, len(near), len(sizes), sum(sizes), largest, leaks[0], f"{np.mean(leaks[1:]):.1f}", ours, split]
    return [str(figure) for figure in figures]


def sheet(photos: dict[str, np.ndarray], hashes: dict[str, int], n: int = 60) -> np.ndarray:
    """Draw the nearest pairs, six a row, with a bar below as long as their distance (10 pixels a bit)."""
    names = list(hashes)
    near = near_pairs([hashes[name] for name in names], 12)
    distances = [bin(hashes[names[i]] ^ hashes[names[j]]).count("1") for i, j in near]
    tiles = []
    for k in np.argsort(distances, kind="stable")[:n]:
        both = [resize(photos[names[at]], TILE, TILE, "area") for at in near[k]]
        tile = np.full((TILE + 14, 2 * TILE + 8, 3), WHITE, np.uint8)
        tile[:TILE, : 2 * TILE] = np.hstack(both)
        tile[TILE + 2 : TILE + 8, : 10 * distances[k]] = (200, 0, 0)
        tiles.append(tile)
    while len(tiles) % 6:
        tiles.append(np.full_like(tiles[0], WHITE))
    return np.vstack([np.hstack(tiles[start : start + 6]) for start in range(0, len(tiles), 6)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--sheet", type=Path, default=None)
    parser.add_argument("--seeds", type=int, default=200)
    arguments = parser.parse_args()
    photos = read_folder(arguments.photos)
    hashes = {name: perceptual_hash(pixels) for name, pixels in photos.items()}
    print(
        f"{len(photos)} photos; pairs leaked by a plain split at seed 42 and on average over {arguments.seeds} seeds,"
    )
    print("and the most that ours leaked over the same seeds; photos in train/val/test of ours at seed 42\n")
    heads = ["bits", "near pairs", "groups", "photos", "largest", "plain 42", "plain mean", "ours", "split"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for bits in THRESHOLDS:
        print("| " + " | ".join(row(hashes, bits, arguments.seeds)) + " |")
    if arguments.sheet:
        arguments.sheet.write_bytes(encode_png(Photo(sheet(photos, hashes))))


if __name__ == "__main__":
    main()
