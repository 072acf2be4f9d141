"""Any single-image super-resolution network that spandrel knows, read safely from bytes.

Nothing is ever unpickled freely: `.pth` goes through `torch.load(weights_only=True)`, whose unpickler builds tensors
and plain containers only; `.safetensors` holds no code.
"""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jewelenh.enhancement.weights import WeightFile
from jewelenh.errors import WeightsError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """A network ready to run: RGB in, RGB out, float (B, 3, H, W) in [0, 1]."""

    module: nn.Module
    architecture: str
    scale: int
    state: Mapping[str, Tensor]
    """The weights as the file had them, for engines that build the network themselves."""
    radius_px: int | None
    """Farthest input pixel that an output pixel depends on; None where that is too far to pad for, or unknown."""
    multiple: int
    """Sides must be a multiple of this; photos are padded by reflection, on the right and below."""
    minimum: int
    """Smallest side the network takes."""
    bytes_per_pixel: int
    """Working memory of one pass, in bytes per input pixel and byte of precision; measured on a CPU, rounded up."""
    dtypes: frozenset[torch.dtype]
    """Precisions its architecture is known to work in."""


def load_network(files: Sequence[WeightFile], cache_dir: Path | None = None) -> Network:
    """Read the files, interpolate them by their shares, and build the network they describe.

    Interpolation is that of Deep Network Interpolation (Wang et al., CVPR 2019): a weighted sum of all parameters.

    Raises:
        WeightsError: unsafe, damaged, incomplete, of unknown architecture, or not for 3-channel super-resolution.
    """
    names = " + ".join(file.name for file in files)
    states = [read_state(file.read(cache_dir), file.name) for file in files]
    state = states[0]
    if len(states) > 1:
        shapes = [{key: value.shape for key, value in each.items()} for each in states]
        if any(each != shapes[0] for each in shapes):
            raise WeightsError("Weight files of different networks cannot be interpolated.", where=names)
        parts = [{key: file.share * s[key] for key in s} for file, s in zip(files, states, strict=True)]
        state = {key: torch.stack([part[key] for part in parts]).sum(0) for key in state}
    network = _build(state, names)
    hashes = " + ".join(file.sha256[:16] for file in files)
    log.info("enhancer %s (sha256 %s...): %s, x%d", names, hashes, network.architecture, network.scale)
    return network


def read_state(data: bytes, name: str) -> dict[str, Tensor]:
    """Return the flat tensors of a weight file; `name` tells the format and is named in errors."""
    from spandrel.__helpers.canonicalize import canonicalize_state_dict

    try:
        if name.lower().endswith(".safetensors"):
            from safetensors.torch import load

            content: Any = load(data)
        else:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            "A weight file was refused: it holds more than tensors, which could run code when read, or it is damaged.",
            where=name,
            found=str(error).splitlines()[0],
            fix="use a file with tensors only, best a .safetensors",
        ) from error
    except Exception as error:  # torch and safetensors raise a dozen kinds for damaged files
        raise WeightsError("A weight file cannot be read.", where=name, found=str(error).splitlines()[:1]) from error
    if not isinstance(content, dict):
        raise WeightsError("A weight file holds no state dict.", where=name, found=type(content).__name__)
    state = canonicalize_state_dict(content)
    return {key: value.float() for key, value in state.items() if isinstance(value, Tensor)}


def _build(state: Mapping[str, Tensor], names: str) -> Network:
    from spandrel import ImageModelDescriptor, ModelLoader

    try:
        found = ModelLoader(device="cpu").load_from_state_dict(dict(state))
    except Exception as error:  # spandrel's own error, KeyError, or load_state_dict's RuntimeError: all mean the file
        raise WeightsError(
            "A weight file is not a whole network of a known architecture.",
            where=names,
            expected="a super-resolution network that spandrel knows, with all of its parameters",
            found=" ".join(str(error).split())[:300] or repr(error),
        ) from error
    kind = f"{found.architecture.name} ({', '.join(found.tags)}), purpose {found.purpose}, x{found.scale}"
    if not isinstance(found, ImageModelDescriptor) or found.purpose != "SR" or found.scale < 2:
        raise WeightsError("This network does not enlarge photos.", where=names, expected="x2 or more", found=kind)
    if (found.input_channels, found.output_channels) != (3, 3):
        channels = f"{found.input_channels} in, {found.output_channels} out"
        raise WeightsError("This network is not for RGB photos.", where=names, expected="3 in, 3 out", found=channels)
    dtypes = {torch.float32}
    dtypes |= {torch.float16} if found.supports_half else set()
    dtypes |= {torch.bfloat16} if found.supports_bfloat16 else set()
    return _describe(found, state, frozenset(dtypes))


def _describe(found: Any, state: Mapping[str, Tensor], dtypes: frozenset[torch.dtype]) -> Network:
    """Add what tiling needs to know: exact for the two architectures of Real-ESRGAN, careful for all others."""
    module = found.model.eval().requires_grad_(False)
    architecture = f"{found.architecture.name} {' '.join(found.tags)}"
    radius_px, multiple, bytes_per_pixel = None, found.size_requirements.multiple_of, 16_000
    if found.architecture.id == "Compact":
        convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        radius_px = len(convolutions)  # a plain chain of 3x3 convolutions: each reaches one pixel farther
        bytes_per_pixel = 3 * convolutions[0].out_channels + 8 * found.scale**2
    elif found.architecture.id == "ESRGAN":
        # 23 blocks reach 345 px; padding by that would cost more than the photo, so tiles blend instead.
        multiple = module.shuffle_factor or 1
        bytes_per_pixel = 5 * module.model[0].out_channels * found.scale**2 // 2
    return Network(
        module=module,
        architecture=architecture,
        scale=found.scale,
        state=state,
        radius_px=radius_px,
        multiple=multiple,
        minimum=max(found.size_requirements.minimum, multiple, 1),
        bytes_per_pixel=bytes_per_pixel,
        dtypes=dtypes,
    )
