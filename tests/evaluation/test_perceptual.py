"""LPIPS against torchmetrics' own network with the same random backbone, and its weights' bad cases."""

import hashlib

import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.models import alexnet

from jewelenh.errors import WeightsError
from jewelenh.evaluation import perceptual
from jewelenh.evaluation.perceptual import FILE_NAME, Lpips, find_lpips


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    torch.manual_seed(4)
    features = alexnet(weights=None).features.state_dict()
    file = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({f"features.{name}": value for name, value in features.items()}, file)
    return file


def pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, 80, 96, generator=generator)
    return image, (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def test_lpips_is_that_of_torchmetrics(backbone):
    reference = _LPIPS(pretrained=True, net="alex", pnet_rand=True).eval()
    features = {k.removeprefix("features."): v for k, v in torch.load(backbone, weights_only=True).items()}
    own = dict(reference.net.named_parameters())
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(features[name.split(".", 1)[1]])
    image, target = pictures(0)
    lpips = Lpips(backbone)
    expected = reference(image, target, normalize=True).flatten()
    assert expected.min() > 1e-4
    assert lpips(image, target).tolist() == pytest.approx(expected.tolist(), rel=1e-3)
    assert lpips(image.double(), target.double()).tolist() == pytest.approx(lpips(image, target).tolist(), rel=1e-5)
    assert lpips(image, image).tolist() == [0.0, 0.0]


def test_without_weights_it_is_left_out_with_the_way_to_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found, told = find_lpips()
    assert found is None
    assert "left out" in told and "lpips_weights=<file>" in told and "IMAGENET1K_V1" in told


def test_weights_in_torchs_cache_are_found(tmp_path, monkeypatch, backbone):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / FILE_NAME).symlink_to(backbone)
    assert perceptual.cached_file() == tmp_path / "checkpoints" / FILE_NAME
    with pytest.raises(WeightsError, match="not what its name says"):
        find_lpips()


def test_weights_of_your_own_are_named_in_the_protocol(backbone):
    found, told = find_lpips(backbone)
    assert found is not None
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
