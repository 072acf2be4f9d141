"""Overrides that point the chain at drawn photos and a tiny network, with small pairs."""

from __future__ import annotations

from pathlib import Path


def chain_overrides(photos: Path, weights: Path) -> list[str]:
    """Return what makes any job of the chain small."""
    return [
        "source=folder",
        f"source.root={photos}",
        "enhancer=general_x4v3",
        f"enhancer.weights={weights}",
        "pairs.size=64",
        "pairs.split.near_duplicate_bits=0",
    ]
