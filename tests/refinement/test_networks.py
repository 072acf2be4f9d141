"""The networks: sizes and shapes, any picture size, a start at the identity, how far a pixel looks."""

import pytest
import torch

from jewelenh.refinement.networks import RefinementCNN, RefinementUNet


@pytest.mark.parametrize(("features", "n_parameters"), [(64, 2_956_803), (32, 741_123), (16, 186_243)])
def test_the_default_has_the_parameters_of_the_study(features, n_parameters):
    assert sum(p.numel() for p in RefinementCNN(features).parameters()) == n_parameters


@pytest.mark.parametrize("size", [(8, 8), (33, 47), (1, 1), (64, 9)])
def test_any_size_comes_out_as_it_went_in(size):
    network = RefinementCNN(4).eval()
    assert network(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_the_residual_is_bounded_by_its_scale():
    torch.manual_seed(0)
    network = RefinementCNN(4, residual_scale=0.1)
    with torch.no_grad():
        network.head.bias.fill_(50.0)
    input = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.allclose(network(input) - input, torch.tensor(0.1), atol=1e-6)


@pytest.mark.parametrize(("fold", "n"), [(2, 4_262_764), (4, 4_283_536)])
def test_the_unet_has_the_size_its_docstring_and_readme_name(fold, n):
    assert sum(p.numel() for p in RefinementUNet(fold=fold).parameters()) == n


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (16, 129)])
def test_the_unet_begins_as_the_identity_at_any_size(size):
    input = torch.rand(2, 3, *size) * 2 - 1
    assert torch.equal(RefinementUNet(4)(input), input)


@pytest.mark.parametrize("settings", [{"fold": 1, "blocks": 1, "depth": 2}, {"fold": 2, "blocks": 2, "depth": 1}])
def test_no_pixel_of_the_unet_looks_further_than_its_radius(settings):
    torch.manual_seed(0)
    network = RefinementUNet(4, **settings).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    furthest = 0
    for place in range(60, 68):
        input = torch.zeros(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(input)[0, :, place, place].sum(), input)
        furthest = max(furthest, int((gradient[0].abs().sum(0).nonzero() - place).abs().max()))
    assert network.radius_px * 0.7 < furthest <= network.radius_px
