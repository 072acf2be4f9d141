"""ONNX graphs of any picture size, of the network alone or of the whole chain, each held against PyTorch first.

Graphs are float32 and hold what surrounds the networks at inference, so that their user only converts 8-bit pixels to
floats and back.

`torch.export` traces the network with symbolic sides, so that padding to the network's stride is computed in the
graph; the older tracing exporter writes such graphs too, but PyTorch no longer maintains it. Average pooling to a fixed
grid is replaced by two matrix products: as PyTorch 2.14 translates it, it is right at the traced size only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jewelenh.enhancement.network import Network
from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.refinement.checkpoint import AFTER, Geometry

OPSET = 18
"""Of ONNX, December 2022: what the exporter is written for, and what onnxruntime 1.14 and later run."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHATTERING = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
MOST_GREY_LEVELS = 0.25
"""A graph that differs by more from PyTorch, in 8-bit grey levels, is not handed over."""
EXAMPLE = (45, 53)
"""Odd sides, so that padding is part of what is traced."""


@dataclass(frozen=True)
class Agreement:
    """How far a graph and PyTorch are apart, over all checked sizes and outputs."""

    sizes: tuple[tuple[int, int, int], ...]
    """(batch, height, width) of what went in."""
    largest: float
    """In the graph's own range."""
    grey_levels: float


class Refinement(nn.Module):
    """`input` to `refined`, float (B, 3, H, W) RGB in [-1, 1], any H and W."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> Tensor:
        """Return `refined`, clamped to [-1, 1]."""
        return self.network(input).clamp(-1, 1)  # type: ignore[no-any-return]


class RefinementChain(nn.Module):
    """`photo` to `refined`: float (B, 3, H, W) RGB in [0, 1] to `scale` times the sides, in [0, 1].

    A network after the enhancer leaves a second output, `enhanced`. Between the two networks nothing is rounded to 8
    bits, which `Restorer` does, by at most half a grey level; and a network that works at a scale of its own is given
    pictures made smaller by a triangle filter, as graphs have no area averaging of any size.
    """

    def __init__(
        self, enhancer: Network, refinement: nn.Module, strength: float = 1.0, geometry: Geometry = AFTER
    ) -> None:
        super().__init__()
        self.enhancer, self.refinement, self.geometry = enhancer.module, refinement, geometry
        self.scale, self.multiple, self.strength = enhancer.scale, enhancer.multiple, strength

    @property
    def outputs(self) -> list[str]:
        """Return the names of what comes out."""
        return ["refined"] if self.geometry.placement == "before" else ["enhanced", "refined"]

    def forward(self, photo: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the refined picture, and before it the enhancer's own where there is one on the way."""
        if self.geometry.placement == "before":
            prepared = ((self.refinement(photo * 2 - 1) + 1) / 2).clamp(0, 1)
            return self._enhance(prepared).clamp(0, 1)
        enhanced = self._enhance(photo).clamp(0, 1)
        if self.geometry.work_scale == 1:
            return enhanced, ((self.refinement(enhanced * 2 - 1) + 1) / 2).clamp(0, 1)
        scale = self.geometry.work_scale
        small = F.interpolate(enhanced, scale_factor=scale, mode="bilinear", antialias=True) * 2 - 1
        change = F.interpolate(self.refinement(small) - small, size=enhanced.shape[-2:], mode="bicubic")
        return enhanced, (enhanced + change / 2).clamp(0, 1)

    def _enhance(self, photo: Tensor) -> Tensor:
        height, width = photo.shape[-2:]
        padded = photo
        if self.multiple > 1:
            right, bottom = -width % self.multiple, -height % self.multiple
            padded = F.pad(photo, (0, right, 0, bottom), mode="reflect")
        large: Tensor = self.enhancer(padded)[..., : height * self.scale, : width * self.scale]
        if self.strength == 1:
            return large
        bicubic = F.interpolate(photo, scale_factor=float(self.scale), mode="bicubic")
        return torch.lerp(bicubic.clamp(0, 1), large.clamp(0, 1), self.strength)


def require_packages() -> None:
    """Raise ConfigError, with the command, where a package for ONNX is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            "ONNX needs packages that are not installed.",
            found=f"missing: {', '.join(missing)}",
            fix=f"pip install {' '.join(missing)}  (or pip install 'jewelenh[export]')",
        )


def export_graph(
    module: nn.Module,
    file: Path,
    input: str,
    outputs: Sequence[str],
    shapes: Sequence[tuple[int, int, int]],
    low: float,
) -> Agreement:
    """Write a graph under another name, check it at `shapes`, and only then give it its own; see `check`."""
    unproven = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        write_onnx(module, unproven, input, outputs, drawn((2, *EXAMPLE), low))
        agreement = check(module, unproven, shapes, low)
        unproven.replace(file)
    finally:
        unproven.unlink(missing_ok=True)
    return agreement


def write_onnx(module: nn.Module, file: Path, input: str, outputs: Sequence[str], example: Tensor) -> None:
    """Write `module` with dynamic batch, height and width; `example` is (B, 3, H, W) with odd sides."""
    dynamic = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.export.export(
            module.eval(), (example,), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},), strict=False
        )
        pools = (torch.ops.aten.adaptive_avg_pool2d.default, torch.ops.aten._adaptive_avg_pool2d.default)
        program = program.run_decompositions(dict.fromkeys(pools, _area_average))
        torch.onnx.export(
            program,
            (),
            str(file),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input],
            output_names=list(outputs),
            external_data=False,
            verbose=False,
        )


def check(module: nn.Module, file: Path, shapes: Sequence[tuple[int, int, int]], low: float) -> Agreement:
    """Run the graph with onnxruntime and the module with PyTorch on pictures of every (batch, height, width).

    `low` is the lower end of the range: 0 or -1, up to 1.

    Raises:
        CheckpointError: they differ by more than `MOST_GREY_LEVELS`, or in shape.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    largest = 0.0
    for shape in shapes:
        picture = drawn(shape, low)
        with torch.inference_mode():
            expected = module(picture)
        try:
            found = session.run(None, {session.get_inputs()[0].name: picture.numpy()})
        except Exception as error:  # onnxruntime's own kinds, a dozen of them
            _refuse(file, shape, f"onnxruntime: {error}")
        for theirs, ours in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
            if theirs.shape != tuple(ours.shape):
                _refuse(file, shape, f"shape {theirs.shape} instead of {tuple(ours.shape)}")
            apart = float(np.abs(theirs - ours.numpy()).max())
            largest = max(largest, apart)
            if not apart * 255 / (1 - low) <= MOST_GREY_LEVELS:  # NaN as well
                _refuse(file, shape, f"{apart * 255 / (1 - low):.2f} grey levels")
    return Agreement(tuple(shapes), largest, largest * 255 / (1 - low))


def drawn(shape: tuple[int, int, int], low: float) -> Tensor:
    """Return pictures in [low, 1] with smooth ground, an edge and some noise, the same every time."""
    batch, height, width = shape
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    ramp = torch.linspace(0, 1, height)[:, None] * torch.linspace(1, 0.2, width)
    noise = 0.1 * torch.rand(batch, 3, height, width, generator=generator)
    picture = 0.05 + 0.6 * ramp + noise + 0.2 * (ramp > 0.5)  # stays inside, where nothing is clamped
    return picture * (1 - low) + low


def _refuse(file: Path, shape: tuple[int, int, int], found: str) -> NoReturn:
    file.unlink(missing_ok=True)
    raise CheckpointError(
        "The exported graph does not compute what the network computes, so it was removed.",
        where=f"{file.name} at {shape[1]} x {shape[2]} pixels",
        expected=f"at most {MOST_GREY_LEVELS} grey levels apart",
        found=found,
        fix="format=safetensors, and another version of PyTorch for the graph",
    )


def _area_average(picture: Tensor, output_size: Sequence[int]) -> Tensor:
    """Average over a grid as adaptive pooling does: cells may overlap by a pixel, each pixel counts whole."""
    rows, columns = output_size
    return _cells(rows, picture.shape[-2], picture) @ picture @ _cells(columns, picture.shape[-1], picture).T


def _cells(n_cells: int, length: Any, like: Tensor) -> Tensor:
    """Return (n_cells, length) weights: cell i is the mean of pixels floor(i L / n) up to ceil((i + 1) L / n)."""
    index = torch.arange(n_cells, device=like.device)[:, None]
    place = torch.arange(length, device=like.device)[None]
    first = torch.div(index * length, n_cells, rounding_mode="floor")
    last = torch.div((index + 1) * length + n_cells - 1, n_cells, rounding_mode="floor")
    inside = ((place >= first) & (place < last)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the exporter's progress; its warnings concern PyTorch's own internals."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in CHATTERING}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in levels:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
