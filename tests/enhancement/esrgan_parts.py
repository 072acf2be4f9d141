"""Weights and photos that the tests of this room draw themselves."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
import torch

from jewelenh.images import Photo, Pixels, encode_png

SHARED = os.environ.get("JEWELENH_SHARED")
needs_shared = pytest.mark.skipif(SHARED is None, reason="real photos and weights: set JEWELENH_SHARED to their folder")


def compact_state(
    n_features: int = 8, n_convolutions: int = 2, scale: int = 4, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Random SRVGGNetCompact weights, written out by hand so that no library under test makes them."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}
    widths = [3, *[n_features] * (n_convolutions + 1), 3 * scale**2]
    for index, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        spread = (2 / (9 * n_in)) ** 0.5 * (0.3 if n_out == 3 * scale**2 else 1.0)
        state[f"body.{2 * index}.weight"] = torch.randn(n_out, n_in, 3, 3, generator=draw) * spread
        state[f"body.{2 * index}.bias"] = torch.randn(n_out, generator=draw) * 0.05
        if index < len(widths) - 2:
            state[f"body.{2 * index + 1}.weight"] = torch.rand(n_out, generator=draw) * 0.5
    return state


def rrdb_state(
    n_features: int = 8, n_blocks: int = 1, growth: int = 32, scale: int = 4, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Random RRDBNet weights under the names of the Real-ESRGAN releases."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def convolution(name: str, n_in: int, n_out: int, gain: float = 1.0) -> None:
        state[f"{name}.weight"] = torch.randn(n_out, n_in, 3, 3, generator=draw) * (2 / (9 * n_in)) ** 0.5 * gain
        state[f"{name}.bias"] = torch.randn(n_out, generator=draw) * 0.05

    convolution("conv_first", 3 if scale == 4 else 12, n_features)
    for block in range(n_blocks):
        for dense in (1, 2, 3):
            for k in range(1, 5):
                convolution(f"body.{block}.rdb{dense}.conv{k}", n_features + (k - 1) * growth, growth)
            convolution(f"body.{block}.rdb{dense}.conv5", n_features + 4 * growth, n_features)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        convolution(name, n_features, n_features)
    convolution("conv_last", n_features, 3, gain=0.2)
    state["conv_last.bias"] = torch.full((3,), 0.5)
    return state


def drawn(height: int, width: int, seed: int = 0, dtype: type[np.unsignedinteger] = np.uint8) -> Pixels:
    """Smooth colours, hard edges and grain, the full range used."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width, 2)
    picture = np.dstack([np.sin(9 * rows + seed), np.cos(7 * columns), np.sin(5 * (rows + columns))]) * 0.5 + 0.5
    picture[(rows - 0.4) ** 2 + (columns - 0.4) ** 2 < 0.05] = (0.85, 0.65, 0.2)
    picture += draw.normal(0, 0.03, picture.shape)
    return (picture.clip(0, 1) * np.iinfo(dtype).max).round().astype(dtype)


def png(height: int, width: int, seed: int = 0) -> bytes:
    return encode_png(Photo(drawn(height, width, seed)))
