"""The batched engine against the official one, on the same weights."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from esrgan_parts import SHARED, drawn, needs_shared, rrdb_state

from jewelenh.config import Enhancer, Hardware
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.errors import ConfigError, ImageError
from jewelenh.images import Photo, read_photo

if importlib.util.find_spec("realesrgan") is None:  # importing it would need the alias that official.py makes
    pytest.skip("the official engine is the extra `realesrgan`", allow_module_level=True)

FP32, BF16 = Hardware(device="cpu", precision="fp32"), Hardware(device="cpu", precision="bf16")


def both(enhancer: Enhancer, photo: Photo) -> tuple[np.ndarray, np.ndarray]:
    ours = Upscaler.load(enhancer, FP32).upscale(photo)
    official = Upscaler.load(dataclasses.replace(enhancer, engine="official"), FP32).upscale(photo)
    assert ours.pixels.dtype == official.pixels.dtype
    return ours.pixels.astype(np.int64), official.pixels.astype(np.int64)


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first - second) ** 2.0)))


@pytest.fixture(params=["compact x4", "rrdb x4", "rrdb x2"])
def any_enhancer(request: pytest.FixtureRequest, tmp_path: Path, compact_file: Path) -> Enhancer:
    file = compact_file
    if request.param != "compact x4":
        file = tmp_path / "rrdb.pth"
        torch.save({"params_ema": rrdb_state(n_blocks=2, scale=int(request.param[-1]))}, file)
    return Enhancer(name="tiny", weights=file)


@pytest.mark.parametrize("size", [(40, 40), (37, 53), (51, 30)])
def test_fp32_is_within_one_grey_level(any_enhancer, size):
    ours, official = both(any_enhancer, Photo(drawn(*size)))
    assert np.abs(ours - official).max() <= 1
    assert len(np.unique(ours)) > 50  # a picture, not a plain


def test_bf16_is_at_45_db_or_better(any_enhancer):
    photo = Photo(drawn(61, 47))
    _, official = both(any_enhancer, photo)
    bf16 = Upscaler.load(any_enhancer, BF16).upscale(photo).pixels.astype(np.int64)
    assert psnr_db(bf16, official) >= 45


def test_16_bit_alpha_and_grey_agree_too(enhancer):
    ours, official = both(enhancer, Photo(drawn(30, 33, dtype=np.uint16)))
    assert np.abs(ours - official).max() <= 2  # of 65535
    photo = Photo(drawn(30, 33), drawn(30, 33, 4)[..., 1])
    upscalers = (Upscaler.load(enhancer, FP32), Upscaler.load(dataclasses.replace(enhancer, engine="official"), FP32))
    first, second = (upscaler.upscale(photo) for upscaler in upscalers)
    assert np.abs(first.alpha.astype(int) - second.alpha).max() <= 1
    assert np.abs(first.pixels.astype(int) - second.pixels).max() <= 1
    grey = Photo(np.repeat(drawn(30, 33)[..., :1], 3, axis=2), is_grey=True)
    first, second = (upscaler.upscale(grey).pixels.astype(int) for upscaler in upscalers)
    assert np.abs(first - second).max() <= 1


def test_strength_reaches_the_official_engine(enhancer):
    ours, official = both(dataclasses.replace(enhancer, strength=0.3), Photo(drawn(25, 31)))
    assert np.abs(ours - official).max() <= 1


def test_a_dark_16_bit_photo_is_refused_not_brightened(enhancer):
    official = Upscaler.load(dataclasses.replace(enhancer, engine="official"), FP32)
    with pytest.raises(ImageError, match="dark 16-bit"):
        official.upscale(Photo(np.full((9, 9, 3), 200, np.uint16)))


@pytest.mark.parametrize("tile", ["auto", 32])
def test_an_error_is_that_photo_alone_also_where_the_engine_swallows_it(enhancer, tile):
    """Out of memory in one tile: RealESRGANer prints it and repeats the tile before."""
    official = Upscaler.load(dataclasses.replace(enhancer, engine="official"), dataclasses.replace(FP32, tile=tile))
    calls = []

    def runs_out(_module: object, inputs: tuple[torch.Tensor]) -> None:
        calls.append(inputs[0].shape)
        if len(calls) == (2 if tile == 32 else 1):
            raise torch.OutOfMemoryError("out of memory")

    official.official.engine.model.body[0].register_forward_pre_hook(runs_out)
    result = dict(official.upscale_many([("a", Photo(drawn(50, 70))), ("b", Photo(drawn(20, 20)))]))
    assert isinstance(result["a"], ImageError)
    assert "engine failed: out of memory" in str(result["a"])
    assert isinstance(result["b"], Photo)


def test_nan_is_refused(enhancer):
    official = Upscaler.load(dataclasses.replace(enhancer, engine="official"), FP32)
    with torch.no_grad():
        next(official.official.engine.model.parameters()).fill_(float("nan"))
    with pytest.raises(ImageError, match=r"(?s)NaN.*fp32"):
        official.upscale(Photo(drawn(9, 9)))


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"compile": True}])
def test_what_it_cannot_do(enhancer, change):
    with pytest.raises(ConfigError, match=r"enhancer\.engine=official"):
        Upscaler.load(dataclasses.replace(enhancer, engine="official"), dataclasses.replace(FP32, **change))


@needs_shared
@pytest.mark.slow
def test_real_weights_on_a_real_photo():
    """262x262 and an odd cut of it. Measured: 1 level at most in fp32, 60 dB in bf16."""
    root = Path(SHARED or "")
    enhancer = Enhancer(name="general_x4v3", weights=root / "weights" / "realesr-general-x4v3.pth")
    pixels = read_photo(min((root / "photos" / "rings").iterdir())).pixels
    for cut in (pixels, np.ascontiguousarray(pixels[80:201, 70:247])):
        ours, official = both(enhancer, Photo(cut))
        assert np.abs(ours - official).max() <= 1
        bf16 = Upscaler.load(enhancer, BF16).upscale(Photo(cut)).pixels
        assert psnr_db(bf16.astype(np.int64), official) >= 45
