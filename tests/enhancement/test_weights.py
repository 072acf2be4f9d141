from __future__ import annotations

from pathlib import Path

import pytest
import torch
from esrgan_parts import compact_state

from jewelenh.config import Enhancer
from jewelenh.enhancement.network import load_network
from jewelenh.enhancement.weights import REGISTRY, WEAKER_DENOISING, WeightFile, find_weights, identity_of
from jewelenh.errors import WeightsError
from jewelenh.manifest import sha256_of

PUBLISHED = {
    "RealESRGAN_x4plus.pth": (67040989, "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1"),
    "RealESRGAN_x2plus.pth": (67061725, "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb"),
    "realesr-general-x4v3.pth": (4885111, "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292"),
    "realesr-general-wdn-x4v3.pth": (4885111, "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca"),
}


def test_the_registry_is_what_was_published():
    published = [file for file in [*REGISTRY.values(), *WEAKER_DENOISING.values()] if isinstance(file, WeightFile)]
    assert {file.name: (file.n_bytes, file.sha256) for file in published} == PUBLISHED
    assert all(file.url.endswith(f"/{file.name}") for file in published)
    assert set(REGISTRY) == {"x4plus", "x2plus", "general_x4v3", "compact"}


def test_a_registry_name_needs_no_file_to_be_identified():
    found = identity_of(Enhancer(name="x4plus"))
    assert found["weights"] == [{"sha256": PUBLISHED["RealESRGAN_x4plus.pth"][1], "share": 1.0}]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(WeightsError, match=r"Did you mean x4plus\?(.|\n)*enhancer.weights="):
        find_weights(Enhancer(name="x4pluss"))


def test_a_given_file_is_taken_by_its_own_hash(compact_file):
    """The registry's hash is about the registry's file, not about one given by hand."""
    found = find_weights(Enhancer(name="general_x4v3", weights=compact_file))
    assert found[0].sha256 == sha256_of(compact_file.read_bytes())
    assert load_network(found, None).scale == 4


@pytest.mark.parametrize("name", ["none.pth", "weights.onnx", "."])
def test_a_given_file_that_is_none(tmp_path, name):
    with pytest.raises(WeightsError, match=r"weight file"):
        find_weights(Enhancer(name="mine", weights=tmp_path / name))


def test_the_embedded_enhancer_says_when_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(REGISTRY, "compact", tmp_path / "compact.safetensors")
    with pytest.raises(WeightsError, match=r"(?s)not in this installation.*enhancer=general_x4v3"):
        find_weights(Enhancer(name="compact"))


@pytest.fixture
def general_and_wdn(monkeypatch, tmp_path: Path) -> Path:
    """A registry entry with two tiny files, already in a cache folder."""
    files = []
    for name, seed in (("general.pth", 1), ("wdn.pth", 2)):
        torch.save({"params": compact_state(seed=seed)}, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        files.append(WeightFile(name, sha256_of(data), url=f"http://127.0.0.1:9/{name}", n_bytes=len(data)))
    monkeypatch.setitem(REGISTRY, "general_x4v3", files[0])
    monkeypatch.setitem(WEAKER_DENOISING, "general_x4v3", files[1])
    return tmp_path


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0, None])
def test_denoise_strength_interpolates_the_weights(general_and_wdn, strength):
    found = find_weights(Enhancer(name="general_x4v3", denoise_strength=strength))
    loaded = dict(load_network(found, general_and_wdn).module.named_parameters())
    general, wdn = compact_state(seed=1), compact_state(seed=2)
    share = 1.0 if strength is None else strength
    for name, value in loaded.items():
        torch.testing.assert_close(value, share * general[name] + (1 - share) * wdn[name])
    assert sum(part.share for part in found) == 1


def test_denoise_strength_without_a_twin():
    with pytest.raises(WeightsError, match=r"(?s)denoise_strength.*x4plus.*general_x4v3"):
        find_weights(Enhancer(name="x4plus", denoise_strength=0.5))
