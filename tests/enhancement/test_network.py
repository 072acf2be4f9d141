from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from esrgan_parts import compact_state, rrdb_state
from safetensors.torch import save
from torch import nn

from jewelenh.enhancement.network import Network, load_network, read_state
from jewelenh.enhancement.weights import WeightFile
from jewelenh.errors import WeightsError
from jewelenh.manifest import sha256_of


def loaded(path: Path) -> Network:
    return load_network([WeightFile(path.name, sha256_of(path.read_bytes()), path)])


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", ["torch.save", "old torch.save", "pickle"])
def test_a_pickle_bomb_does_not_go_off(tmp_path, writer):
    crater, file = tmp_path / "crater", tmp_path / "bomb.pth"
    content = {"params": compact_state(), "note": Bomb(crater)}
    if writer == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=writer == "torch.save")
    with pytest.raises(WeightsError, match=r"(?s)could run code.*bomb.pth.*safetensors"):
        loaded(file)
    assert not crater.exists()


@pytest.mark.parametrize("wrapped", [lambda s: s, lambda s: {"params": s}, lambda s: {"params_ema": s}])
def test_the_usual_wrappings_are_known(tmp_path, wrapped):
    network = loaded(saved(tmp_path / "net.pth", wrapped(compact_state())))
    assert (network.scale, network.radius_px, network.multiple) == (4, 4, 1)


@pytest.mark.parametrize(("scale", "multiple"), [(4, 1), (2, 2)])
def test_rrdb_networks_of_both_releases(tmp_path, scale, multiple):
    network = loaded(saved(tmp_path / "net.pth", {"params_ema": rrdb_state(scale=scale)}))
    assert (network.scale, network.radius_px, network.multiple) == (scale, None, multiple)
    assert network.architecture.startswith("ESRGAN")


def test_the_receptive_radius_is_measured_right(tmp_path):
    """Independent of the formula: a gradient says which input pixels one output pixel depends on."""
    network = loaded(saved(tmp_path / "net.pth", compact_state(n_convolutions=3)))
    unit = torch.rand(1, 3, 25, 25, requires_grad=True)
    network.module(unit)[0, :, 48:52, 48:52].sum().backward()
    rows = unit.grad.abs().sum((0, 1, 3)).nonzero()
    assert (int(rows.min()), int(rows.max())) == (12 - network.radius_px, 12 + network.radius_px)


def test_missing_parameters_are_named(tmp_path):
    state = compact_state()
    del state["body.2.bias"]
    with pytest.raises(WeightsError, match=r"(?s)not a whole network.*body.2.bias"):
        loaded(saved(tmp_path / "net.pth", state))


def test_a_denoiser_of_scale_1_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"(?s)does not enlarge.*x2 or more.*x1"):
        loaded(saved(tmp_path / "denoiser.pth", compact_state(scale=1)))


def test_a_face_network_is_refused(tmp_path, monkeypatch):
    """The real face networks weigh hundreds of MB; what is tested is that their purpose is looked at."""
    import spandrel

    monkeypatch.setattr(spandrel.ImageModelDescriptor, "purpose", property(lambda _: "FaceSR"))
    with pytest.raises(WeightsError, match=r"(?s)does not enlarge photos.*FaceSR"):
        loaded(saved(tmp_path / "face.pth", compact_state()))


def test_a_greyscale_network_is_refused(tmp_path):
    state = compact_state()
    state["body.0.weight"] = state["body.0.weight"][:, :1]
    state["body.4.weight"], state["body.4.bias"] = state["body.4.weight"][:16], state["body.4.bias"][:16]
    with pytest.raises(WeightsError, match=r"(?s)not for RGB.*3 in, 3 out.*1 in"):
        loaded(saved(tmp_path / "grey.pth", state))


@pytest.mark.parametrize(
    ("name", "data"),
    [("text.pth", b"<!DOCTYPE html>"), ("cut.safetensors", save(compact_state())[:999]), ("empty.pth", b"")],
)
def test_damaged_files(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=name):
        loaded(tmp_path / name)


def test_a_classifier_is_no_super_resolution_network(tmp_path):
    with pytest.raises(WeightsError, match="not a whole network of a known architecture"):
        loaded(saved(tmp_path / "net.pth", nn.Linear(4, 4).state_dict()))


def test_something_else_than_a_state_dict(tmp_path):
    with pytest.raises(WeightsError, match=r"(?s)no state dict.*list"):
        read_state(saved(tmp_path / "net.pth", [torch.zeros(2)]).read_bytes(), "net.pth")
