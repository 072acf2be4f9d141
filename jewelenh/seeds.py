"""One random generator per item: same names, same draws, whatever the order, the workers or the machine."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(*names: str | int) -> int:
    """Return a 128-bit seed from names such as (seed, stage, level, variant, stem).

    SHA-256 over length-prefixed UTF-8, so that ("a", "bc") and ("ab", "c") differ.
    """
    digest = hashlib.sha256()
    for name in names:
        data = str(name).encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest()[:16], "little")


def generator_for(*names: str | int) -> np.random.Generator:
    """Return the NumPy generator (PCG64) of `seed_for(*names)`."""
    return np.random.Generator(np.random.PCG64(seed_for(*names)))
