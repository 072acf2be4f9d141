"""All ring styles by name. A ring is drawn from a generator: finger hole about y, head at +z, millimetres."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from metal_rings import bypass, eternity, plain_band, signet, twisted, two_tone
from piece import Piece
from stone_rings import bezel_ring, cluster, halo_ring, hearts, solitaire, split_shank, three_stone

FANCY = ("round", "oval", "cushion", "princess", "emerald", "pear", "marquise")

RINGS: dict[str, Callable[[np.random.Generator, str, str], Piece]] = {
    "band": plain_band,
    "solitaire": solitaire,
    "halo": halo_ring,
    "three-stone": three_stone,
    "eternity": eternity,
    "signet": signet,
    "twisted": twisted,
    "two-tone": two_tone,
    "bypass": bypass,
    "bezel": bezel_ring,
    "split shank": split_shank,
    "cluster": cluster,
    "heart": hearts,
}
