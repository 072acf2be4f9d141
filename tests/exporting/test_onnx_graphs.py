"""Graphs run at sizes they were not traced at, hold what surrounds the networks, and are refused where they differ."""

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from jewelenh.enhancement.network import Network
from jewelenh.errors import CheckpointError, ConfigError
from jewelenh.exporting import onnx as module
from jewelenh.exporting.onnx import Refinement, RefinementChain, check, drawn, require_packages, write_onnx
from jewelenh.refinement import networks

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
SIZES = ((1, 64, 64), (2, 45, 53), (1, 9, 131), (1, 100, 60))


def randomised(network: nn.Module) -> nn.Module:
    """Give a network that starts as the identity something to do."""
    torch.manual_seed(7)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def session_of(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        networks.RefinementCNN(4, residual_scale=0.3),
        networks.RefinementUNet(4, fold=2, blocks=1, depth=2),
    ],
    ids=lambda network: type(network).__name__,
)
def test_every_network_exports_at_any_size(network, tmp_path):
    refinement, file = Refinement(randomised(network)), tmp_path / "refinement.onnx"
    write_onnx(refinement, file, "input", ["refined"], drawn((2, 45, 53), -1.0))
    agreement = check(refinement, file, SIZES, -1.0)
    assert agreement.grey_levels < 0.01 and agreement.sizes == SIZES
    session = session_of(file)
    assert (session.get_inputs()[0].name, session.get_outputs()[0].name) == ("input", "refined")
    assert [entry.version for entry in onnx.load(str(file)).opset_import if not entry.domain] == [18]
    picture = drawn((1, 31, 77), -1.0)
    (found,) = session.run(None, {"input": picture.numpy()})
    assert np.abs(found - picture.numpy()).max() > 0.01, "it does something"
    with torch.inference_mode():
        assert np.abs(found - network(picture).clamp(-1, 1).numpy()).max() < 1e-4


class Overview(nn.Module):
    """Looks at the whole picture through a small grid, as pooling to a fixed size does."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def forward(self, input):
        grid = (12, 16)
        small = F.adaptive_avg_pool2d(input, grid) if self.method == "pool" else F.interpolate(input, grid, mode="area")
        return 0.8 * input + 0.1 * F.interpolate(small.tanh(), size=input.shape[-2:], mode="bilinear")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pool", "area"])
def test_pooling_to_a_fixed_grid_is_right_at_every_size(tmp_path, method):
    network, file = Overview(method), tmp_path / "overview.onnx"
    write_onnx(network, file, "input", ["refined"], drawn((2, 45, 53), -1.0))
    assert check(network, file, (*SIZES, (1, 7, 5)), -1.0).grey_levels < 0.01


@pytest.mark.slow
def test_a_graph_that_computes_something_else_is_removed(tmp_path):
    file = tmp_path / "wrong.onnx"
    write_onnx(nn.Sequential(nn.Hardtanh(-0.9, 0.5)), file, "input", ["refined"], drawn((2, 45, 53), -1.0))
    with pytest.raises(CheckpointError, match="does not compute what the network computes"):
        check(nn.Sequential(nn.Hardtanh(-0.9, 0.51)), file, SIZES, -1.0)
    assert not file.exists()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 0.9])
def test_one_wrong_pixel_is_enough_and_nan_is_one(tmp_path, monkeypatch, wrong):
    class Session:
        """What onnxruntime would answer: the identity but for one value."""

        def __init__(self, *args, **options):
            pass

        def get_inputs(self):
            return [onnx.helper.make_tensor_value_info("input", 1, None)]

        def run(self, names, inputs):
            picture = inputs["input"].copy()
            picture[0, 0, 0, 0] = wrong
            return [picture]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    file = tmp_path / "graph.onnx"
    file.write_bytes(b"a graph")
    with pytest.raises(CheckpointError, match="does not compute what the network computes"):
        check(nn.Identity(), file, ((1, 9, 9),), 0.0)
    assert not file.exists()


def test_nan_of_the_network_itself_is_refused(tmp_path, monkeypatch):
    class Session:
        def __init__(self, *args, **options):
            pass

        def get_inputs(self):
            return [onnx.helper.make_tensor_value_info("input", 1, None)]

        def run(self, names, inputs):
            return [np.full_like(inputs["input"], np.nan)]

    class Broken(nn.Module):
        def forward(self, picture):
            return picture * torch.nan

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(CheckpointError, match="nan grey levels"):
        check(Broken(), tmp_path / "graph.onnx", ((1, 9, 9),), 0.0)


class Unfolding(nn.Module):
    """An x2 enhancer that takes even sides only, as RealESRGAN_x2plus does."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(12, 48, 3, padding=1)

    def forward(self, photo):
        return F.pixel_shuffle(self.convolution(F.pixel_unshuffle(photo, 2)), 4)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_the_chain_pads_blends_and_clamps_in_the_graph(tmp_path, strength):
    enhancer = randomised(Unfolding())
    described = Network(enhancer, "unfolding", 2, {}, None, 2, 2, 0, frozenset({torch.float32}))
    chain = RefinementChain(described, randomised(networks.RefinementCNN(4)), strength).eval()
    file = tmp_path / "chain.onnx"
    write_onnx(chain, file, "photo", ["enhanced", "refined"], drawn((2, 45, 53), 0.0))
    assert check(chain, file, ((1, 24, 24), (2, 17, 30), (1, 33, 25)), 0.0).grey_levels < 0.01
    photo = drawn((1, 21, 33), 0.0)
    enhanced, refined = session_of(file).run(None, {"photo": photo.numpy()})
    assert enhanced.shape == refined.shape == (1, 3, 42, 66)
    assert enhanced.min() >= 0 and enhanced.max() <= 1 and refined.min() >= 0 and refined.max() <= 1
    with torch.inference_mode():
        alone = enhancer(F.pad(photo, (0, 1, 0, 1), mode="reflect"))[..., :42, :66].clamp(0, 1)
        bicubic = F.interpolate(photo, scale_factor=2, mode="bicubic").clamp(0, 1)
    assert np.abs(enhanced - (strength * alone + (1 - strength) * bicubic).numpy()).max() < 1e-4


def test_missing_packages_are_one_message_with_the_command(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else found(name))
    with pytest.raises(ConfigError, match="pip install onnx onnxscript onnxruntime"):
        require_packages()


def test_area_averages_are_those_of_pytorch():
    picture = drawn((2, 37, 50), 0.0).double()
    for grid in ((1, 1), (5, 7), (12, 16), (37, 50), (60, 61)):
        expected = F.adaptive_avg_pool2d(picture, grid)
        assert torch.allclose(module._area_average(picture, grid), expected, atol=1e-12), grid
