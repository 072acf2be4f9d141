"""The one inference path: tiles equal the whole, strength blends, bit depth and extras stay."""

import numpy as np
import pytest
import torch

from jewelenh.config import Enhancer, Hardware
from jewelenh.errors import ConfigError, ImageError
from jewelenh.hardware import DTYPES
from jewelenh.images import Photo
from jewelenh.refinement.checkpoint import Geometry
from jewelenh.refinement.networks import RefinementCNN, RefinementUNet
from jewelenh.restoration import restorer as module
from jewelenh.restoration.restorer import Restorer


def cnn() -> torch.nn.Module:
    network = RefinementCNN(4, residual_scale=0.3)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)  # without a trained BatchNorm the default fades out
    return network


def unet() -> torch.nn.Module:
    network = RefinementUNet(4, depth=1, blocks=1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture(params=[cnn, unet])
def restorer(request, tiny_weights) -> Restorer:
    torch.manual_seed(1)
    network = request.param()
    return Restorer(network, Enhancer(name="tiny", weights=tiny_weights), hardware=Hardware(precision="fp32"))


def drawn(height: int, width: int, dtype=np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, (height, width, 3), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("size", [(200, 331), (129, 128), (64, 300)])
def test_tiled_equals_whole(restorer, monkeypatch, size):
    photo = drawn(*size)
    whole = restorer.refine(photo)
    monkeypatch.setattr(module, "TILE", 64)
    tiled = restorer.refine(photo)
    assert np.abs(tiled.astype(int) - whole.astype(int)).max() <= 1  # the last bit of a sum in another order
    assert (tiled != whole).mean() < 1e-3


def test_a_smaller_overlap_would_show(restorer, monkeypatch):
    photo = drawn(200, 331)
    whole = restorer.refine(photo)
    monkeypatch.setattr(module, "TILE", 64)
    restorer.overlap = 8
    assert (restorer.refine(photo) != whole).mean() > 1e-3


def test_strength_blends_from_input_to_refined(restorer):
    photo = drawn(32, 32) // 4 + 96  # far enough from 0 and 255 that nothing is clamped
    full, half = restorer.refine(photo).astype(int), restorer.refine(photo, 0.5).astype(int)
    assert np.array_equal(restorer.refine(photo, 0.0), photo)
    assert np.abs(half - (photo.astype(int) + full) / 2).max() <= 1.0  # two roundings


def test_restore_keeps_depth_alpha_and_extras(restorer):
    alpha = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    photo = Photo(drawn(20, 30, np.uint16), alpha, icc=b"profile", exif=b"exif")
    restored = restorer.restore(photo)
    assert restored.pixels.shape == (80, 120, 3) and restored.pixels.dtype == np.uint16
    assert restored.alpha is not None and restored.alpha.shape == (80, 120)
    assert (restored.icc, restored.exif) == (b"profile", b"exif")
    assert restorer.restore(photo, scale=1.0).size == (20, 30)
    assert restorer.restore(drawn(20, 30)).shape == (80, 120, 3)


def test_hardware_moves_both_networks(tiny_weights):
    enhancer = Enhancer(name="tiny", weights=tiny_weights)
    for precision in ("fp32", "bf16"):
        restorer = Restorer(cnn(), enhancer, hardware=Hardware(device="cpu", precision=precision))
        assert (restorer.device.type, restorer.upscaler.device.type) == ("cpu", "cpu")
        assert (restorer.dtype, restorer.upscaler.precision) == (DTYPES[precision], precision)


def test_a_checkpoint_of_a_gpu_restores_on_a_cpu(tmp_path, tiny_weights):
    """Its training ran with `enhancer.device=cuda`, when that was where the device was said."""
    network = cnn()
    about = {
        "version": 1,
        "network": {
            "class": "jewelenh.refinement.networks.RefinementCNN",
            "settings": {"features": 4, "residual_scale": 0.3},
        },
        "pairs_dir": "gone",
        "config": {
            "enhancer": {"name": "tiny", "weights": str(tiny_weights), "device": "cuda", "precision": "fp16"},
            "degradation": {"name": "mild"},
        },
    }
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    file = tmp_path / "gpu.ckpt"
    torch.save({"state_dict": state, "epoch": 1, "global_step": 2, "jewelenh": about}, file)
    restorer = Restorer.from_checkpoint(file, device="cpu")
    assert restorer.restore(drawn(12, 16)).shape == (48, 64, 3)
    with pytest.raises(ConfigError, match=r"hardware\.device = 'gpu'"):
        Restorer.from_checkpoint(file, device="gpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_an_error_and_no_picture(restorer, value):
    with torch.no_grad():
        next(restorer.network.parameters()).fill_(value)
    with pytest.raises(ImageError, match=r"NaN or infinity in float32") as caught:
        restorer.restore(drawn(12, 16))
    assert "hardware.precision=fp32" in str(caught.value)


class _Lighter(torch.nn.Module):
    """Adds 0.1 to what it is given, and remembers its size."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.size = tuple(input.shape[-2:])
        return input + 0.1


def placed(tiny_weights, geometry: Geometry) -> Restorer:
    enhancer = Enhancer(name="tiny", weights=tiny_weights)
    return Restorer(_Lighter(), enhancer, geometry, hardware=Hardware(precision="fp32"))


def test_a_network_before_the_enhancer_works_on_the_photo_s_own_grid(tiny_weights):
    restorer = placed(tiny_weights, Geometry("before"))
    photo = Photo(drawn(21, 30) // 2)
    restored = restorer.restore(photo)
    assert restorer.network.size == (21, 30) and restored.size == (84, 120)
    lighter = Photo(np.rint(photo.pixels + 0.1 * 127.5).astype(np.uint8))
    assert np.array_equal(restored.pixels, restorer.upscaler.upscale(lighter).pixels)
    enhanced = restorer.upscaler.upscale(photo)
    assert np.array_equal(restorer.restore(photo, strength=0.0).pixels, enhanced.pixels)
    assert np.array_equal(restorer.restore_from(photo, enhanced).pixels, restored.pixels)


@pytest.mark.parametrize("size", [(40, 64), (33, 51)])
def test_a_network_after_it_works_at_its_own_scale_and_keeps_what_is_sharp(tiny_weights, size, monkeypatch):
    restorer = placed(tiny_weights, Geometry("after", 0.5))
    monkeypatch.setattr(module, "BAND", 50)
    photo = Photo(drawn(*size))
    enhanced = restorer.upscaler.upscale(photo).pixels
    restored = restorer.restore(photo).pixels
    assert restorer.network.size == (size[0] * 2, size[1] * 2)
    expected = np.clip(np.rint(enhanced + 0.1 * 127.5), 0, 255)  # a constant residual is a constant at every size
    assert np.abs(restored - expected).max() <= 1


def test_an_enlarged_residual_lies_where_it_was_measured(monkeypatch):
    down, across = np.mgrid[0:30, 0:20].astype(np.float32)
    plane = np.dstack([down, across, down + across])  # linear: what bicubic interpolation keeps
    rows = slice(40, 90)
    large = module._enlarged(plane, rows, (120, 60))
    y, x = (np.arange(40, 90) + 0.5) / 4 - 0.5, (np.arange(60) + 0.5) / 3 - 0.5
    inside = (slice(None), slice(6, -6))
    assert np.abs(large[..., 0] - y[:, None])[inside].max() < 0.05  # OpenCV interpolates in steps of 1/32
    assert np.abs(large[..., 1] - x[None])[inside].max() < 0.05
