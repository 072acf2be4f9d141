"""The one inference path: tiles equal the whole, strength blends, bit depth and extras stay."""

import numpy as np
import pytest
import torch

from jewelenh.config import Enhancer, Hardware
from jewelenh.errors import ConfigError, ImageError
from jewelenh.hardware import DTYPES
from jewelenh.images import Photo
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
