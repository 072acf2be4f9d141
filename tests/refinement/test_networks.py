"""RefinementCNN: the study's size and shape, any picture size, and an identity start that is one."""

import pytest
import torch

from jewelenh.refinement.networks import RefinementCNN


@pytest.mark.parametrize(("features", "n_parameters"), [(64, 2_956_803), (32, 741_123), (16, 186_243)])
def test_the_default_has_the_parameters_of_the_study(features, n_parameters):
    assert sum(p.numel() for p in RefinementCNN(features).parameters()) == n_parameters


@pytest.mark.parametrize("size", [(8, 8), (33, 47), (1, 1), (64, 9)])
@pytest.mark.parametrize("skip_connections", [False, True])
def test_any_size_comes_out_as_it_went_in(size, skip_connections):
    network = RefinementCNN(4, skip_connections=skip_connections).eval()
    assert network(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_the_residual_is_bounded_by_its_scale():
    torch.manual_seed(0)
    network = RefinementCNN(4, residual_scale=0.1)
    with torch.no_grad():
        network.head.bias.fill_(50.0)
    input = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.allclose(network(input) - input, torch.tensor(0.1), atol=1e-6)


def test_identity_start_changes_nothing_yet():
    input = torch.rand(2, 3, 21, 30) * 2 - 1
    network = RefinementCNN(4, 1.0, skip_connections=True, identity_start=True, bounded=False, normalise=False)
    assert torch.equal(network(input), input)


def test_without_normalisation_the_signal_keeps_its_size():
    torch.manual_seed(0)
    network = RefinementCNN(16, normalise=False, skip_connections=True)
    spreads: list[float] = []
    for block in network.decoder:
        block.register_forward_hook(lambda module, inputs, output: spreads.append(float(output.detach().std())))
    network(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert all(0.05 < spread < 20 for spread in spreads)


def test_settings_rebuild_the_network():
    network = RefinementCNN(4, 0.3, skip_connections=True, normalise=False)
    again = RefinementCNN(**network.settings)
    again.load_state_dict(network.state_dict())
    input = torch.rand(1, 3, 16, 16)
    assert torch.equal(network.eval()(input), again.eval()(input))
