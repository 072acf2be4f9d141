"""Who goes to train, val and test: whole groups of near-duplicates, by a seeded order that few new photos disturb.

And what lies on both sides of a split that somebody else made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jewelenh.config import Split
from jewelenh.errors import PairsError
from jewelenh.images import Pixels, resize, to_uint8
from jewelenh.pairs.contract import SPLITS, Finding, Pair, PairsManifest, SplitName
from jewelenh.seeds import seed_for

HASH_SIDE = 8
_SMALL = 32


def perceptual_hash(pixels: Pixels) -> int:
    """Return 64 bits that survive resizing, compression and small retouching of (H, W, 3) RGB pixels.

    Signs of the 8x8 lowest frequencies of a 32x32 grey thumbnail, against their median (pHash: Zauner, "Implementation
    and Benchmarking of Perceptual Image Hash Functions", 2010). As 32 bits are always set, distances are even.
    """
    grey = to_uint8(pixels).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    low = _COSINES @ resize(grey, _SMALL, _SMALL, "area").astype(np.float64) @ _COSINES.T
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _cosines() -> Pixels:
    """Return the first rows of the orthonormal DCT-II matrix, (8, 32)."""
    k, n = np.arange(HASH_SIDE)[:, None], np.arange(_SMALL)[None]
    rows = np.cos(np.pi * k * (2 * n + 1) / (2 * _SMALL)) * np.sqrt(2 / _SMALL)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


_COSINES = _cosines()


def near_pairs(hashes: Sequence[int], max_bits: int) -> list[tuple[int, int]]:
    """Return the positions (i, j), i < j, of hashes that differ in at most `max_bits` bits."""
    values = np.array(hashes, np.uint64)
    found: list[tuple[int, int]] = []
    for i in range(len(values) - 1):
        found += [(i, i + 1 + int(j)) for j in np.flatnonzero(_n_bits(values[i], values[i + 1 :]) <= max_bits)]
    return found


def near_any(some: Sequence[int], others: Sequence[int], max_bits: int) -> list[bool]:
    """Say of each hash whether it differs from one of `others` in at most `max_bits` bits."""
    values = np.array(others, np.uint64)
    return [bool((_n_bits(np.uint64(value), values) <= max_bits).any()) for value in some]


def _n_bits(value: np.uint64, others: Pixels) -> Pixels:
    """Return in how many bits each of `others`, (n,) uint64, differs from `value`."""
    return np.asarray(np.unpackbits((others ^ value)[:, None].view(np.uint8), axis=1).sum(axis=1, dtype=np.int64))


def group_photos(hashes: Mapping[str, int], max_bits: int | None, seed: int) -> dict[str, str]:
    """Return photo -> group: near-duplicates, and the near-duplicates of those, are one.

    A group carries the name of the member that comes first in the seeded order, so a photo that joins a group rarely
    renames it. None switches grouping off.
    """
    photos = sorted(hashes, key=lambda photo: _rank(photo, seed))
    parent = list(range(len(photos)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, j in near_pairs([hashes[photo] for photo in photos], max_bits) if max_bits is not None else []:
        first, second = sorted((root(i), root(j)))
        parent[second] = first
    return {photo: photos[root(i)] for i, photo in enumerate(photos)}


def assign(groups: Mapping[str, str], split: Split, seed: int) -> dict[str, SplitName]:
    """Return photo -> split, the shares counted in photos and filled with whole groups.

    Groups are ordered by a hash of (seed, name); test fills from the front, val from the back, train has the middle, so
    new photos move few old ones, and none from val to test. A group too large for what is left of a share goes to
    train. Val and test get one group each where there are three and their shares are not 0; of two groups val gets one.
    With `split.folds` test is one of so many parts of about one size, which are the same for every `fold`.

    Raises:
        PairsError: fewer groups than folds and one for train.
    """
    members: dict[str, list[str]] = {}
    for photo in sorted(groups):
        members.setdefault(groups[photo], []).append(photo)
    order = sorted(members, key=lambda group: _rank(group, seed))
    sizes = {group: len(members[group]) for group in order}
    spare = len(order) - (1 if split.train > 0 else 0)
    test = set() if split.folds is None else _fold(order, sizes, split.folds, split.fold)
    rest = [group for group in order if group not in test]
    val = _fill(rest[::-1], sizes, split.val * len(groups), spare - len(test))
    if split.folds is None:
        test = _fill([group for group in order if group not in val], sizes, split.test * len(groups), spare - len(val))
    leftover: SplitName = "train" if split.train > 0 else ("val" if split.val >= split.test else "test")
    side: dict[str, SplitName] = dict.fromkeys(order, leftover)
    side.update(dict.fromkeys(val, "val"))
    side.update(dict.fromkeys(test, "test"))
    return {photo: side[group] for photo, group in groups.items()}


def _fill(order: Iterable[str], sizes: Mapping[str, int], share: float, n_spare: int) -> set[str]:
    """Take groups in order while they fit into `share` photos; one, the first of the smallest, where none fits."""
    order = list(order)
    if share <= 0 or n_spare <= 0:
        return set()
    wanted, n_photos = max(1, round(share)), 0
    taken: set[str] = set()
    for group in order:
        if n_photos + sizes[group] <= wanted and len(taken) < n_spare:
            taken.add(group)
            n_photos += sizes[group]
    return taken or {min(order, key=lambda group: sizes[group])}


def _fold(order: Sequence[str], sizes: Mapping[str, int], n_folds: int, wanted: int) -> set[str]:
    """Deal the groups, the largest first, each to the part that has the fewest photos; return one part."""
    if len(order) <= n_folds:
        fix = "pairs.split.folds=<fewer>, or more photos"
        expected = f"more than {n_folds}"
        raise PairsError("Too few groups of photos for so many folds.", found=len(order), expected=expected, fix=fix)
    parts: list[set[str]] = [set() for _ in range(n_folds)]
    n_photos = [0] * n_folds
    for group in sorted(order, key=lambda group: -sizes[group]):
        part = n_photos.index(min(n_photos))
        parts[part].add(group)
        n_photos[part] += sizes[group]
    return parts[wanted]


def _rank(name: str, seed: int) -> int:
    return seed_for(seed, "split", name)


def leaks(manifest: PairsManifest) -> list[Finding]:
    """Find photos, groups, contents and near-duplicates on two sides of the split."""
    sides: dict[tuple[str, str], list[Pair]] = {}
    for pair in manifest.pairs:
        contents = {("the same content", file.sha256) for file in (pair.input, pair.target)}
        shared = {("versions of one photo", pair.photo), ("one group of near-duplicates", pair.group)}
        for key in contents | shared:
            sides.setdefault(key, []).append(pair)
    together = [(what, pairs) for (what, _), pairs in sorted(sides.items())]
    bits = manifest.spec.get("split", {}).get("near_duplicate_bits")
    hashed = list({pair.photo: pair for pair in manifest.pairs if "hash" in pair.record}.values())
    near = near_pairs([int(pair.record["hash"], 16) for pair in hashed], bits) if bits is not None else []
    together += [(f"near-duplicates ({bits} bits or less)", [hashed[i], hashed[j]]) for i, j in near]
    return [_leak(what, pairs) for what, pairs in together if len({pair.split for pair in pairs}) > 1]


def _leak(what: str, pairs: Sequence[Pair]) -> Finding:
    first = {pair.split: pair.stem for pair in reversed(pairs)}
    shown = ", ".join(f"{name}: {first[name]}" for name in SPLITS if name in first)
    stems, files = tuple(pair.stem for pair in pairs), tuple(pair.input.path for pair in pairs)
    return Finding("leak", f"{what} on both sides of the split ({shown})", stems, files)
