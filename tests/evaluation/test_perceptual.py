"""LPIPS, FID and KID are torchmetrics' own; their weights' bad cases are said, and nothing is downloaded."""

import hashlib
import importlib.util

import numpy as np
import pytest
import torch
from drawn_scores import drawn_alexnet
from torchmetrics.functional.image.lpips import _LPIPS

from jewelenh.errors import WeightsError
from jewelenh.evaluation import perceptual
from jewelenh.evaluation.perceptual import (
    ALEXNET,
    SetDistances,
    cached_file,
    find_lpips,
    find_set_distances,
    inception,
)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return drawn_alexnet(tmp_path_factory.mktemp("alexnet") / "alexnet.pth")


def pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 80, 96, generator=generator)
    return image, (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def test_lpips_is_that_of_torchmetrics_with_the_weights_of_the_file(backbone):
    reference = _LPIPS(pretrained=True, net="alex", pnet_rand=True).eval()
    features = {k.removeprefix("features."): v for k, v in torch.load(backbone, weights_only=True).items()}
    with torch.no_grad():
        for name, value in reference.net.named_parameters():
            value.copy_(features[name.split(".", 1)[1]])
    image, target = pictures(0)
    lpips, _ = find_lpips(backbone)
    expected = reference(image, target, normalize=True).flatten()
    assert expected.min() > 1e-4
    assert lpips.function(image, target).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert lpips.function(image.double(), image.double()).tolist() == [0.0]


def test_without_weights_it_is_left_out_with_the_way_to_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))  # what set_dir sets, so that it is put back
    found, told = find_lpips()
    assert found is None
    assert "left out" in told and "lpips_weights=<file>" in told and "IMAGENET1K_V1" in told


def test_weights_in_torchs_cache_are_found(tmp_path, monkeypatch, backbone):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))  # what set_dir sets, so that it is put back
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ALEXNET).symlink_to(backbone)
    assert cached_file(ALEXNET) == tmp_path / "checkpoints" / ALEXNET
    with pytest.raises(WeightsError, match="not what its name says"):
        find_lpips()


def test_weights_of_your_own_are_named_in_the_protocol(backbone):
    before = torch.hub.get_dir()
    found, told = find_lpips(backbone)
    assert found is not None and torch.hub.get_dir() == before
    assert f"alexnet.pth, sha256 {hashlib.sha256(backbone.read_bytes()).hexdigest()[:16]}" in told


@pytest.mark.parametrize("content", [b"", b"no weights", "other"])
def test_a_file_that_is_no_alexnet_is_refused(tmp_path, content):
    file = tmp_path / "weights.pth"
    if content == "other":
        torch.save({"features.0.weight": torch.zeros(3)}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(WeightsError, match="no weights of AlexNet"):
        find_lpips(file)
    with pytest.raises(WeightsError, match="no such file"):
        find_lpips(tmp_path / "none.pth")


def test_few_photos_leave_fid_and_kid_out_with_the_reason():
    found, told = find_set_distances(1000)
    assert found is None and "1000 photos" in told and "number" in told


def test_many_photos_without_weights_say_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))  # what set_dir sets, so that it is put back
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    found, told = find_set_distances(1001)
    assert found is None and "Inception weights" in told and perceptual.INCEPTION_URL in told
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'jewelenh[fid]'" in find_set_distances(1001)[1]


def test_the_distance_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(500, 4))
    white = (white - white.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    first = torch.from_numpy(white * [1.0, 2.0, 3.0, 4.0])
    second = torch.from_numpy(white * [2.0, 2.0, 1.0, 8.0] + [3.0, 0.0, 0.0, 0.0])
    sets = SetDistances(torch.nn.Identity())
    sets.features = {"target": [second], "input": [first], "refined": [second]}
    fid = sets.distances()["fid"]
    assert fid["input"] == pytest.approx(9 + 1 + 0 + 4 + 16, rel=1e-6)  # |m|^2 + sum (s1 - s2)^2
    assert fid["refined"] == pytest.approx(0.0, abs=1e-6)


def test_sets_are_collected_by_name_and_compared_with_their_targets():
    class Corner(torch.nn.Module):
        def forward(self, batch):
            assert batch.dtype == torch.uint8
            return batch[:, :2, 0, 0].float()

    sets, rng = SetDistances(Corner()), np.random.default_rng(2)
    for number in range(40):
        target = rng.integers(0, 200, (8, 8, 3), dtype=np.uint8)
        sets.see("input", f"p{number}", target + 10, target)
        sets.see("refined", f"p{number}", target, target)
    found = sets.distances()
    assert found["fid"]["input"] == pytest.approx(200.0) and found["fid"]["refined"] == pytest.approx(0.0, abs=1e-6)
    assert found["kid"]["input"] > found["kid"]["refined"] and found == sets.distances()


@pytest.mark.slow
def test_inceptions_weights_are_read_safely(tmp_path, monkeypatch):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network_class = module.FeatureExtractorInceptionV3
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="no weights of Inception"):
        inception(tmp_path / "empty.pth")
    torch.save({}, tmp_path / "weights.pth")
    with monkeypatch.context() as patch:
        patch.setattr(network_class, "load_state_dict", lambda self, state: None)
        state = inception(tmp_path / "weights.pth").state_dict()
    torch.save(state, tmp_path / "weights.pth")
    features = inception(tmp_path / "weights.pth")(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert features[0].shape[-1] == 2048
