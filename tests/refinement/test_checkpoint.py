"""Checkpoints rebuild their network, execute nothing, and say what they are not."""

import os
import pickle

import pytest
import torch

from jewelenh.config import Enhancer
from jewelenh.errors import CheckpointError
from jewelenh.refinement.checkpoint import KEY, describe, read_checkpoint
from jewelenh.refinement.networks import RefinementCNN
from jewelenh.refinement.runs import find_checkpoint

CONFIG = {"enhancer": {"name": "compact"}, "degradation": {"name": "mild"}}


def save(file, built, **changes):
    about = {**describe(built, CONFIG, file.parent / "pairs"), **changes}
    state = {f"network.{name}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "global_step": 12, KEY: about}, file)
    return file


def test_the_network_is_rebuilt_with_its_weights(tmp_path):
    network = RefinementCNN(4, skip_connections=True).eval()
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
    about = describe(RefinementCNN(4), {**CONFIG, "hardware": {"device": "cuda"}}, tmp_path)
    assert "hardware" not in about["config"]


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_a_pickle_bomb_is_refused_unexploded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.ckpt", "raw.ckpt"):
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / name)
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


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ({"class": "os.system", "settings": {}}, "no network"),
        ({"class": "jewelenh.refinement.networks.Missing", "settings": {}}, "cannot be found"),
        ({"class": "jewelenh.refinement.networks.RefinementCNN", "settings": {"feet": 2}}, "does not take"),
        ({"class": "jewelenh.refinement.networks.RefinementCNN", "settings": {"features": 8}}, "do not fit"),
    ],
)
def test_another_network_is_said(tmp_path, network, word):
    file = save(tmp_path / "a.ckpt", RefinementCNN(4), network=network)
    with pytest.raises(CheckpointError, match=word):
        read_checkpoint(file).network()


def test_checkpoints_are_found_as_users_name_them(tmp_path):
    with pytest.raises(CheckpointError, match="No run has left"):
        find_checkpoint("latest", tmp_path)
    files = []
    for number, name in enumerate(["old", "new"]):
        file = tmp_path / "train" / name / "checkpoints" / "best.ckpt"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
        os.utime(file, ns=(number * 10**9, number * 10**9))
        files.append(file)
    assert find_checkpoint("latest", tmp_path) == files[1]
    assert find_checkpoint(tmp_path / "train" / "old", tmp_path) == files[0]
    assert find_checkpoint(files[0], tmp_path) == files[0]
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("nowhere", tmp_path)
    assert str(files[1]) in str(caught.value)
