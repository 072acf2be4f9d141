"""The export job as a user types it: files, card, the same pictures as the restorer, bad input."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from jewelenh.config import Enhancer
from jewelenh.errors import CheckpointError
from jewelenh.images import Photo
from jewelenh.refinement.checkpoint import KEY, describe, read_checkpoint
from jewelenh.refinement.networks import RefinementCNN
from jewelenh.refinement.weights import find_checkpoint
from jewelenh.restoration.restorer import Restorer


@pytest.fixture
def checkpoint(tmp_path, tiny_weights):
    """A run directory with a checkpoint whose network does something, and its metrics."""
    torch.manual_seed(5)
    network = RefinementCNN(4, residual_scale=0.3)
    config = {
        "enhancer": {"name": "general_x4v3", "weights": str(tiny_weights), "precision": "fp32"},
        "degradation": {"name": "moderate"},
        "source": {"kind": "kaggle", "dataset": "somebody/rings"},
        "seed": 3,
    }
    node = {"_target_": "jewelenh.refinement.networks.RefinementCNN", "features": 4, "residual_scale": 0.3}
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    about = describe(node, config, tmp_path / "pairs" / "moderate-0123456789")
    file = tmp_path / "run" / "checkpoints" / "best.ckpt"
    file.parent.mkdir(parents=True)
    torch.save({"state_dict": state, "epoch": 3, "global_step": 77, KEY: about}, file)
    row = {"input": 27.0, "refined": 28.5, "gain": 1.5, "gain_low": 1.2, "gain_high": 1.8, "share_improved": 0.9}
    metrics = {"split": "test", "photos": [{}] * 10, "summary": {"psnr_db": row}, "about": {"epoch": 3, "step": 77}}
    metrics["protocol"] = {"space": "sRGB | all channels", "metrics": {"psnr_db": "peak 255"}}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    return file


@pytest.mark.slow
def test_graphs_weights_and_card(run_job, checkpoint, tmp_path, tiny_weights):
    onnxruntime = pytest.importorskip("onnxruntime")
    outcome = run_job("export", "checkpoint=run", "output=out")
    assert outcome.code == 0, outcome.err
    names = {"refinement.onnx", "chain.onnx", "model.safetensors", "config.json", "README.md"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    for graph in ("refinement.onnx", "chain.onnx"):
        said = re.search(rf"{graph}: largest difference from PyTorch (\S+), or (\S+) grey levels", outcome.out)
        assert said and 0 < float(said.group(1)) < 1e-4 and float(said.group(2)) < 0.02

    photo = np.random.default_rng(0).integers(0, 256, (21, 35, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "chain.onnx"))
    _, refined = session.run(None, {"photo": photo.transpose(2, 0, 1)[None].astype(np.float32) / 255})
    restorer = Restorer.from_checkpoint(checkpoint)
    restorer.dtype = torch.float32
    expected = restorer.restore(photo).astype(float)
    found = refined[0].transpose(1, 2, 0) * 255
    assert np.abs(found - expected).max() <= 1.5, "one rounding between the two networks, one at the end"
    plain = restorer.upscaler.upscale(Photo(photo)).pixels.astype(float)
    assert np.abs(expected - plain).max() > 10, "the refinement does something"

    card = (tmp_path / "out" / "README.md").read_text()
    for told in (
        "level moderate", "somebody/rings", "+1.50", "+1.20 to +1.80", "10 photos of the test split", "peak 255",
        "space: sRGB", "opset 18", "## Licence",
        "[-1, 1]", "[0, 1]", "RGB, channels first", "refinement.onnx", "weights of your own",
    ):  # fmt: skip
        assert told in card, told


def test_weights_alone_rebuild_the_network(run_job, checkpoint, tmp_path):
    outcome = run_job("export", f"checkpoint={checkpoint}", "format=safetensors", "output=out")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    picture = torch.rand(1, 3, 19, 22) * 2 - 1
    exported = read_checkpoint(tmp_path / "out" / "model.safetensors")
    assert torch.equal(exported.network().eval()(picture), read_checkpoint(checkpoint).network().eval()(picture))
    told = (tmp_path / "out" / "config.json").read_text()
    assert exported.geometry.placement == "after" and exported.step == 77 and str(tmp_path) not in told
    half = run_job("export", f"checkpoint={checkpoint}", "format=safetensors", "half=true", "output=half")
    assert half.code == 0, half.err
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "out")]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_folder_of_the_hub_restores_as_its_checkpoint_does(run_job, checkpoint, tmp_path, tiny_weights):
    assert run_job("export", f"checkpoint={checkpoint}", "format=safetensors", "output=out").code == 0
    photo = np.random.default_rng(0).integers(0, 256, (21, 35, 3), dtype=np.uint8)
    enhancer = Enhancer(name="general_x4v3", weights=tiny_weights)
    shared = Restorer.from_pretrained(tmp_path / "out", enhancer=enhancer).restore(photo)
    assert np.array_equal(shared, Restorer.from_checkpoint(checkpoint, enhancer=enhancer).restore(photo))
    assert find_checkpoint(tmp_path / "out", tmp_path) == tmp_path / "out" / "model.safetensors"
    (tmp_path / "pickled").mkdir()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    for folder in (tmp_path / "pickled", tmp_path):
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            Restorer.from_pretrained(folder)
    assert "onnxruntime" not in (tmp_path / "out" / "README.md").read_text()


def test_the_cards_snippets_run(run_job, checkpoint, tmp_path, monkeypatch, tiny_weights):
    assert run_job("export", f"checkpoint={checkpoint}", "format=safetensors", "output=out").code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "out")
    shutil.copy(tiny_weights, tmp_path / "out")
    scope = {"photo": np.zeros((16, 16, 3), np.uint8)}
    exec(snippet, scope)
    assert scope["restored"].shape == (64, 64, 3)


def test_metrics_of_another_checkpoint_stay_out_of_the_card(run_job, checkpoint, tmp_path):
    other = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "global_step": 99}, other)
    assert run_job("export", f"checkpoint={other}", "format=safetensors", "output=out").code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Not measured yet" in card and "+1.50" not in card
    forced = run_job("export", f"checkpoint={other}", "format=safetensors", "metrics=run/metrics.json")
    assert forced.code == 2 and "not the metrics of this checkpoint" in forced.err


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        (["format=tflite"], 2, ["Invalid configuration", "'onnx' or 'safetensors'", "tflite"]),
        (["checkpoint=text.ckpt"], 1, ["no readable checkpoint"]),
        (["checkpoint=cut.ckpt"], 1, ["no readable checkpoint"]),
        (["checkpoint=new.ckpt"], 1, ["another version", "99"]),
        (["checkpoint=nowhere"], 1, ["no such checkpoint"]),
        (["format=safetensors", "output=text.ckpt"], 2, ["cannot be written", "output="]),
        (["metrics=none.json"], 2, ["metrics cannot be read"]),
        (["metrics=text.ckpt"], 2, ["metrics cannot be read"]),
    ],
)
def test_what_cannot_be_exported_is_said(run_job, checkpoint, tmp_path, overrides, code, words):
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "cut.ckpt").write_bytes(checkpoint.read_bytes()[:-900])
    content = torch.load(checkpoint, weights_only=True)
    content[KEY]["version"] = 99
    torch.save(content, tmp_path / "new.ckpt")
    given = {override.split("=")[0] for override in overrides}
    outcome = run_job("export", *([] if "checkpoint" in given else ["checkpoint=run"]), *overrides)
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err and "Unexpected" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_exported_weights_that_are_none_are_refused(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "text.safetensors")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="not written by jewelenh"):
        read_checkpoint(tmp_path / "other.safetensors")
