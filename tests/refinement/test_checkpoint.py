"""Checkpoints rebuild their network, execute nothing, and say what they are not."""

import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from jewelenh.config import Enhancer
from jewelenh.errors import CheckpointError
from jewelenh.refinement.checkpoint import KEY, build_network, describe, read_checkpoint
from jewelenh.refinement.networks import RefinementCNN, RefinementUNet
from jewelenh.refinement.weights import find_checkpoint, start_network
from jewelenh.runs import READY

CONFIG = {"enhancer": {"name": "compact"}, "degradation": {"name": "mild"}}


NETWORKS = "jewelenh.refinement.networks"
NODE = {"_target_": f"{NETWORKS}.RefinementCNN", "features": 4}


def save(file, built, **changes):
    about = {**describe(NODE, CONFIG, file.parent / "pairs"), **changes}
    state = {f"network.{name}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "global_step": 12, KEY: about}, file)
    return file


def test_the_network_is_rebuilt_with_its_weights(tmp_path):
    network = RefinementCNN(4).eval()
    read = read_checkpoint(save(tmp_path / "a.ckpt", network))
    input = torch.rand(1, 3, 16, 16)
    assert torch.equal(read.network().eval()(input), network(input))
    assert (read.level, read.enhancer.name, read.epoch, read.step) == ("mild", "compact", 3, 12)


def test_how_an_older_checkpoint_was_run_does_not_bind_its_user(tmp_path):
    """Trained on a GPU with the keys of then, read on a machine without one; newer ones do not carry how they ran."""
    old = {"name": "compact", "strength": 0.5, "device": "cuda", "precision": "fp16", "batch_size": 8, "tile": None}
    about = {"config": {**CONFIG, "enhancer": {**old, "compile": True}}}
    read = read_checkpoint(save(tmp_path / "old.ckpt", RefinementCNN(4), **about))
    assert read.enhancer == Enhancer(name="compact", strength=0.5)
    about = describe(NODE, {**CONFIG, "hardware": {"device": "cuda"}}, tmp_path)
    assert "hardware" not in about["config"]


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_a_pickle_bomb_is_refused_unexploded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.ckpt", "raw.ckpt"):
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(tmp_path / name)
        assert "weights_only" not in str(caught.value)  # torch's advice to load it all the same
    assert not (tmp_path / "exploded").exists()


def test_files_that_are_no_checkpoint_are_said(tmp_path):
    whole = save(tmp_path / "whole.ckpt", RefinementCNN(4))
    (tmp_path / "cut.ckpt").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "text.ckpt").write_text("hello")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    save(tmp_path / "old.ckpt", RefinementCNN(4), version=0)
    words = {"cut": "no readable", "text": "no readable", "foreign": "not written by", "old": "another version"}
    for name, word in {**words, "missing": "no such checkpoint"}.items():
        with pytest.raises(CheckpointError, match=word):
            read_checkpoint(tmp_path / f"{name}.ckpt")


def test_checkpoints_of_version_1_are_read(tmp_path):
    settings = {"features": 4, "residual_scale": 0.1, "skip_connections": False, "identity_start": False}
    former = {"class": f"{NETWORKS}.RefinementCNN", "settings": {**settings, "bounded": True, "normalise": True}}
    network = RefinementCNN(4).eval()
    read = read_checkpoint(save(tmp_path / "a.ckpt", network, version=1, network=former))
    input = torch.rand(1, 3, 16, 16)
    assert torch.equal(read.network().eval()(input), network(input))


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ({"_target_": f"{NETWORKS}.Missing"}, "cannot be found"),
        ({"_target_": f"{NETWORKS}.RefinementCNN", "feet": 2}, "feet: there is no such argument"),
        ({"_target_": f"{NETWORKS}.RefinementCNN", "features": 8}, "do not fit"),
        ({"_target_": "torch.load", "f": "a.ckpt", "weights_only": False}, "no network"),
        ({"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "x", "source": "local"}, "no network"),
        ({"_target_": "jewelenh.refinement.checkpoint.Path"}, "no network"),
    ],
)
def test_another_network_is_said(tmp_path, network, word):
    file = save(tmp_path / "a.ckpt", RefinementCNN(4), network=network)
    with pytest.raises(CheckpointError, match=word):
        read_checkpoint(file).network()


OWN = """
import torch
from omegaconf import OmegaConf
from pathlib import Path

Path("imported").touch()


class Blend(torch.nn.Module):
    def __init__(self, share, activation=None):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(share))

    def forward(self, input):
        return input * self.share


def blend(share):
    return Blend(share)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module in the current folder, which leaves a file when it is imported."""
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_nets", None)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "own_nets.Blend", "share": 0.5},
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "own_nets.Blend", "share": 0.5}]},
        {"_target_": f"{NETWORKS}.RefinementCNN", "features": {"deep": [{"_target_": "own_nets.blend"}]}},
    ],
)
def test_a_foreign_module_is_imported_with_the_user_s_word_alone(own_module, node):
    file = save(own_module / "a.ckpt", torch.nn.ParameterDict({"share": torch.tensor(0.5)}), network=node)
    with pytest.raises(CheckpointError, match=r"trust=\[own_nets\]") as caught:
        read_checkpoint(file).network()
    assert "own_nets.Blend" in str(caught.value) or "own_nets.blend" in str(caught.value)
    assert not (own_module / "imported").exists()


@pytest.mark.parametrize(("target", "trust"), [("own_nets.Blend", ["own_nets"]), ("own_nets.blend", "own_nets.blend")])
def test_with_it_the_network_is_rebuilt(own_module, target, trust):
    node = {"_target_": target, "share": 0.25}
    file = save(own_module / "a.ckpt", torch.nn.ParameterDict({"share": torch.tensor(0.5)}), network=node)
    network = read_checkpoint(file, trust).network()
    assert float(network(torch.ones(1))) == 0.5


def test_the_trust_of_one_package_is_not_that_of_its_namesake(own_module):
    file = save(own_module / "a.ckpt", torch.nn.ParameterDict(), network={"_target_": "own_nets.Blend", "share": 1.0})
    for trust in (["own"], ["own_nets.blend"], ["own_netsx"]):
        with pytest.raises(CheckpointError, match="would be imported"):
            read_checkpoint(file, trust).network()


def test_checkpoints_are_found_as_users_name_them(tmp_path):
    assert find_checkpoint("latest", tmp_path) == find_checkpoint("ready", tmp_path) == READY
    files = []
    for number, name in enumerate(["old", "new", "trial"]):
        file = tmp_path / "train" / name / "checkpoints" / "best.ckpt"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
        os.utime(file, ns=(number * 10**9, number * 10**9))
        files.append(file)
    (tmp_path / "train" / "trial" / "run.json").write_text('{"overrides": ["+debug=default"]}')
    assert find_checkpoint("latest", tmp_path) == files[1]
    assert find_checkpoint(tmp_path / "train" / "old", tmp_path) == files[0]
    assert find_checkpoint(files[0], tmp_path) == files[0]
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("nowhere", tmp_path)
    assert str(files[1]) in str(caught.value)


def test_the_ready_weights_start_their_own_network_alone(tmp_path, caplog):
    ready = read_checkpoint(READY)
    assert ready.geometry.placement == "before" and ready.level == "all" and ready.enhancer.weights is None
    fresh = build_network(ready.node, READY)
    start_network(fresh, ready.node, "before", "ready", tmp_path)
    assert all(torch.equal(value, ready.weights[name]) for name, value in fresh.state_dict().items())
    other = RefinementUNet(4, depth=1, blocks=1)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with caplog.at_level("INFO"):
        start_network(other, {"_target_": "jewelenh.refinement.networks.RefinementUNet"}, "before", "ready", tmp_path)
    assert "starting from scratch" in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_the_network_of_the_configuration_is_that_of_the_ready_weights():
    model = OmegaConf.load(Path(__file__).parents[2] / "conf" / "model" / "refinement.yaml")
    assert OmegaConf.to_container(model.network) == read_checkpoint(READY).node
    assert (model.placement, model.start) == ("before", "ready")


def test_damaged_ready_weights_are_said(tmp_path):
    data = READY.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "cut.safetensors")
