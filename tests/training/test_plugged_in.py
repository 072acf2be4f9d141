"""A network and a loss of somebody else's, with nothing but PyTorch's own interface, go through the whole chain."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tests_drawn import chain_overrides

MODULE = """
import torch


class Blend(torch.nn.Module):
    def __init__(self, width, activation):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, width, 3, padding=1), activation, torch.nn.Conv2d(width, 3, 3, padding=1)
        )

    def forward(self, input):
        return input + 0.1 * self.layers(input)
"""
MODEL = """
recipe: refinement
network:
  _target_: own_nets.Blend
  width: 4
  activation:
    _target_: torch.nn.GELU
    approximate: tanh
loss:
  _target_: torch.nn.L1Loss
optimizer:
  _target_: torch.optim.SGD
  _partial_: true
  lr: 0.01
scheduler: null
compile: false
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of one network beside the project, and a configuration group that names it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "own_nets.py").write_text(MODULE)
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "blend.yaml").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    yield
    sys.modules.pop("own_nets", None)


@pytest.mark.slow
def test_it_trains_resumes_and_is_evaluated_used_and_exported(run_job, photos, tiny_weights, tmp_path, own_module):
    small = ["data.crop=32", "data.batch_size=4", "logger=csv", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    train = ["--config-dir", "mine", *chain_overrides(photos, tiny_weights), "model=blend", *small]
    outcome = run_job("train", *train, "trainer.max_epochs=1")
    assert outcome.code == 0, outcome.err
    first = newest(tmp_path, "last.ckpt")
    read = torch.load(first, weights_only=True)
    assert read["epoch"] == 0 and read["jewelenh"]["network"]["activation"]["approximate"] == "tanh"
    curves = newest(tmp_path, "csv/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss_epoch", "val/loss", "val/gain_db"} <= set(curves) and "train/l1" not in curves

    resumed = run_job("train", *train, "trainer.max_epochs=2", f"resume={first}")
    assert resumed.code == 0, resumed.err
    assert torch.load(newest(tmp_path, "last.ckpt"), weights_only=True)["global_step"] == 2 * read["global_step"]

    checkpoint = f"checkpoint={newest(tmp_path, 'best.ckpt')}"
    jobs = {
        "evaluate": [checkpoint],
        "predict": [checkpoint, f"input={photos}", "output=restored"],
        "export": [checkpoint, "format=onnx", "chain=false", "output=exported"],
    }
    for job, overrides in jobs.items():
        refused = run_job(job, *overrides)
        assert refused.code == 1 and "trust=[own_nets]" in refused.err, refused.err
        done = run_job(job, *overrides, "trust=[own_nets]")
        assert done.code == 0, done.err
    restored = np.asarray(Image.open(tmp_path / "restored" / "rings" / "p01.png"))
    assert restored.shape == (192, 192, 3)
    exported = tmp_path / "exported" / "model.safetensors"
    from jewelenh.errors import CheckpointError
    from jewelenh.refinement.checkpoint import read_checkpoint

    network = read_checkpoint(exported, ["own_nets"]).network()
    assert type(network).__name__ == "Blend" and isinstance(network.layers[1], torch.nn.GELU)
    with pytest.raises(CheckpointError, match="would be imported"):
        read_checkpoint(exported).network()


def newest(folder, name):
    return max(folder.glob(f"outputs/**/{name}"), key=lambda path: path.stat().st_mtime_ns)
