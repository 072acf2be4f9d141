"""FID: the distance by closed forms, the threshold with its reason, the network with weights of the right shape."""

import importlib.util

import numpy as np
import pytest
import torch

from jewelenh.errors import WeightsError
from jewelenh.evaluation import distribution
from jewelenh.evaluation.distribution import Fid, find_fid, frechet_distance, inception


def test_the_distance_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(500, 4))
    white = (white - white.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    first = white * [1.0, 2.0, 3.0, 4.0]
    second = white * [2.0, 2.0, 1.0, 8.0] + [3.0, 0.0, 0.0, 0.0]
    # Diagonal covariances: |m|^2 + sum (s1 - s2)^2
    assert frechet_distance(first, second) == pytest.approx(9 + 1 + 0 + 4 + 16, rel=1e-9)
    assert frechet_distance(first, first) == pytest.approx(0.0, abs=1e-9)


def test_covariances_that_do_not_commute():
    scipy_linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    first, second = (
        rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)),
        rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)),
    )
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = first.mean(axis=0) - second.mean(axis=0)
    expected = shift @ shift + np.trace(one + two - 2 * scipy_linalg.sqrtm(one @ two).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_few_photos_leave_it_out_with_the_reason():
    found, told = find_fid(1000)
    assert found is None and "1000 photos" in told and "number" in told


def test_many_photos_without_weights_say_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    found, told = find_fid(1001)
    assert found is None and "Inception's weights" in told and distribution.URL in told
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'jewelenh[fid]'" in find_fid(1001)[1]


def test_sets_are_collected_by_name():
    class Corner(torch.nn.Module):
        def forward(self, batch):
            assert batch.dtype == torch.uint8
            return (batch[:, :2, 0, 0].float(),)

    fid, rng = Fid(Corner()), np.random.default_rng(2)
    for number in range(40):
        target = rng.integers(0, 200, (8, 8, 3), dtype=np.uint8)
        fid.see("input", f"p{number}", target + 10, target)
        fid.see("refined", f"p{number}", target, target)
    assert fid.distances()["input"] == pytest.approx(200.0)
    assert fid.distances()["refined"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_inceptions_weights_are_read_safely(tmp_path, monkeypatch):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network_class = module.FeatureExtractorInceptionV3
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="no Inception weights"):
        inception(tmp_path / "empty.pth")
    torch.save({}, tmp_path / "weights.pth")
    with monkeypatch.context() as patch:
        patch.setattr(network_class, "load_state_dict", lambda self, state: None)
        state = inception(tmp_path / "weights.pth").state_dict()
    torch.save(state, tmp_path / "weights.pth")
    (features,) = inception(tmp_path / "weights.pth")(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert features.shape == (1, 2048)
