"""A score on photos that a network was trained on says how well it remembers: they are counted, by content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jewelenh.errors import JewelenhError
from jewelenh.evaluation.words import in_photos
from jewelenh.pairs.contract import Pair, PairsManifest, SplitName, read_pairs


def cautions(trained_on: Mapping[str, Path], pairs: PairsManifest, split: SplitName) -> list[str]:
    """Return a sentence for each checkpoint (name to its pairs directory) that has seen some of these photos."""
    scored = {_content(pair) for pair in pairs.split(split)}
    found = []
    for name, directory in trained_on.items():
        who = "this network" if name == "refined" else name
        try:
            own = read_pairs(directory)
        except JewelenhError:
            found.append(f"The pairs that {who} was trained on are gone: it may have seen these photos.")
            continue
        n_seen = len(scored & {_content(pair) for pair in own.split("train")})
        if n_seen:
            seen = f"{n_seen} of {in_photos(len(scored))}"
            found.append(f"{seen}: {who} was trained on them, so this is no test of it.")
    return found


def _content(pair: Pair) -> str:
    """Return the raw photo's hash, where the pairs know it."""
    return str(pair.record.get("source", {}).get("raw") or pair.photo)
