"""The network that training starts from: a fresh compact one that begins as an interpolation, or a weight file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from jewelenh.config import Enhancer, StartNetwork
from jewelenh.enhancement.network import load_network
from jewelenh.enhancement.weights import find_weights
from jewelenh.errors import WeightsError
from jewelenh.files import write_atomically

BODY_NOISE = 0.3
"""Random part of the inner convolutions, as a share of He et al.'s standard deviation, beside the identity."""


def start_network(start: StartNetwork, cache_dir: Path | None) -> tuple[nn.Module, int]:
    """Return a network in training mode and its scale.

    Raises:
        WeightsError: `start.weights` is no RGB super-resolution network, or spandrel could not load it again once
            trained.
    """
    if start.weights is None:
        return fresh_compact(start.features, start.convs, start.scale), start.scale
    loaded = load_network(find_weights(Enhancer(name="start", weights=start.weights)), cache_dir)
    _require_reloads(loaded.module, start.weights)
    return loaded.module.train().requires_grad_(True), loaded.scale


def fresh_compact(features: int, convs: int, scale: int) -> nn.Module:
    """Build Real-ESRGAN's SRVGGNetCompact (spandrel's class) so that it begins as a smooth interpolation.

    Its own random start begins at nearest neighbour and stays there for thousands of steps: twelve plain layers pass
    hardly any gradient. Here the inner layers begin near the identity (Zagoruyko and Komodakis, DiracNets, 2017), the
    first three channels carry red, green and blue to the last layer untouched, and that layer interpolates. They are
    carried as 1 minus the colour, so that the zeros which convolutions put around a photo stand for white.
    """
    from spandrel.architectures.Compact import Compact

    network: nn.Module = Compact(
        num_in_ch=3, num_out_ch=3, num_feat=features, num_conv=convs, upscale=scale, act_type="prelu"
    )
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for index, layer in enumerate(layers):
            nn.init.kaiming_normal_(layer.weight, a=0.25)  # PReLU begins with slope 0.25
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            if layer is layers[-1]:
                _interpolate(layer.weight, scale)
                continue
            if index:
                layer.weight.mul_(BODY_NOISE)
                layer.weight[:, :, 1, 1] += torch.eye(features)
            layer.weight[:3] = 0
            layer.weight[:3, :3, 1, 1] = torch.eye(3) if index else -torch.eye(3)
            layer.bias[:3] = 0.0 if index else 1.0  # type: ignore[index]
    return network


def _interpolate(weight: Tensor, scale: int) -> None:
    """Let the last layer (3 * scale**2, features, 3, 3) add what interpolation differs by from nearest neighbour."""
    kernels = _parabola_kernels(scale)  # (scale**2, 3, 3)
    kernels[:, 1, 1] -= 1
    weight.zero_()
    for colour in range(3):
        weight[colour * scale**2 : (colour + 1) * scale**2, colour] = -kernels  # they sum to 0: the 1 drops out


def _parabola_kernels(scale: int) -> Tensor:
    """Return, for every sub-pixel, the 3x3 weights of the parabola that has the small pixels as its averages.

    Quadratic reconstruction from cell averages (Colella and Woodward 1984): exact inverse of an area downscale for
    pictures that are parabolas; the sub-pixels of a pixel average to that pixel.
    """
    at = (torch.arange(scale) + 0.5) / scale - 0.5  # sub-pixel centres in small pixels
    mean_square = (at**2).mean()
    bend = (at**2 - mean_square) / 2
    along = torch.stack([bend - at / 2, 1 - 2 * bend, bend + at / 2], dim=1)  # (scale, 3)
    return torch.einsum("ya,xb->yxab", along, along).reshape(scale**2, 3, 3).clone()


def export(network: nn.Module, file: Path) -> None:
    """Write the parameters as float32 .safetensors with the names that spandrel knows the network by."""
    state = {name: value.detach().float().cpu().contiguous() for name, value in network.state_dict().items()}
    write_atomically(file, save(state))


def _require_reloads(network: nn.Module, weights: Path) -> None:
    """Find out before training, not after it, whether spandrel will know the trained network again."""
    from spandrel import ModelLoader

    try:
        ModelLoader(device="cpu").load_from_state_dict(dict(network.state_dict()))
    except Exception as error:
        raise WeightsError(
            "This network could not be loaded again once it is trained.",
            where=weights,
            found=" ".join(str(error).split())[:200] or repr(error),
        ) from error
