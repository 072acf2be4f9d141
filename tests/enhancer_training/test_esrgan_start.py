"""A fresh network begins as an interpolation; a given one must be a super-resolution network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from spandrel import ModelLoader

from jewelenh.config import StartNetwork
from jewelenh.enhancer_training.start import _parabola_kernels, export, fresh_compact, start_network
from jewelenh.errors import WeightsError


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_kernels_undo_the_area_average_of_a_parabola(scale):
    """On a picture that is a parabola both ways, averaging and these kernels give the picture back, by hand maths."""
    at = (torch.arange(9 * scale, dtype=torch.float64) + 0.5) / scale
    picture = 0.3 + 0.02 * at[:, None] ** 2 - 0.01 * at[None, :] ** 2 + 0.05 * at[:, None] * at[None, :]
    small = picture.reshape(9, scale, 9, scale).mean(dim=(1, 3))[None, None]
    kernels = _parabola_kernels(scale).double()[:, None]
    large = torch.nn.functional.pixel_shuffle(torch.nn.functional.conv2d(small, kernels), scale)[0, 0]
    assert torch.allclose(large, picture[scale:-scale, scale:-scale], atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_fresh_network_keeps_every_small_pixel_as_an_average_and_white_up_to_the_border(scale):
    torch.manual_seed(0)
    network = fresh_compact(features=8, convs=3, scale=scale)
    low = torch.rand(2, 3, 9, 11)
    with torch.no_grad():
        large = network(low)
        white = network(torch.ones(1, 3, 5, 5))
    assert large.shape == (2, 3, 9 * scale, 11 * scale)
    averages = torch.nn.functional.avg_pool2d(large, scale)
    assert torch.allclose(averages, low, atol=1e-5)
    assert torch.allclose(white, torch.ones_like(white), atol=1e-5)


def test_the_architecture_is_real_esrgans():
    """48 features and 12 convolutions are 272,160 parameters: counted by hand, layer by layer."""
    network = fresh_compact(features=48, convs=12, scale=4)
    first, inner, last = 3 * 48 * 9 + 48, 48 * 48 * 9 + 48, 48 * 48 * 9 + 48
    assert sum(p.numel() for p in network.parameters()) == first + 12 * inner + 13 * 48 + last == 272_160
    assert sum(p.numel() for p in network.parameters()) <= 300_000


def test_an_export_is_known_to_spandrel_and_gives_the_same_picture(tmp_path):
    torch.manual_seed(1)
    network = fresh_compact(features=8, convs=2, scale=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    export(network, tmp_path / "n.safetensors")
    assert all(name.startswith("body.") for name in load_file(str(tmp_path / "n.safetensors")))
    loaded = ModelLoader().load_from_file(str(tmp_path / "n.safetensors"))
    assert (loaded.architecture.id, loaded.scale, loaded.purpose) == ("Compact", 4, "SR")
    low = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded.model(low), network(low))


def test_fine_tuning_begins_at_the_given_weights(tiny_weights):
    network, scale = start_network(StartNetwork(weights=tiny_weights), None)
    assert scale == 4 and network.training and all(p.requires_grad for p in network.parameters())
    given = torch.load(tiny_weights, weights_only=True)["params"]
    assert all(torch.equal(network.state_dict()[name], value) for name, value in given.items())


@pytest.mark.parametrize("name", ["classifier.weight", "body.0.weight"])
def test_weights_that_are_no_super_resolution_network_are_refused(tmp_path, name):
    file = tmp_path / "other.pth"
    torch.save({name: torch.zeros(8, 3, 3, 3)}, file)
    with pytest.raises(WeightsError, match="network"):
        start_network(StartNetwork(weights=file), None)


def test_a_weight_file_of_pickled_code_is_refused(tmp_path):
    file = tmp_path / "code.pth"
    torch.save({"params": np.random.default_rng}, file)
    with pytest.raises(WeightsError, match="refused"):
        start_network(StartNetwork(weights=file), None)
