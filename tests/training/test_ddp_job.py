"""Ranks that Lightning starts share one run's directory: they stop together, and the same command goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests_drawn import chain_overrides

TESTS = Path(__file__).resolve().parent.parent


def train(folder, photos, weights, output_dir, step):
    """Train two epochs on two ranks, stopped by SIGTERM at `step`; return the exit code and what was said."""
    words = [
        "experiment=mild", *chain_overrides(photos, weights),
        "data.crop=32", "data.batch_size=2", "data.crops_per_photo=2", "model.network.features=4",
        "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true",
        "trainer.max_epochs=2", "logger=csv", "callbacks.panel=null", f"paths.output_dir={output_dir}",
        "+callbacks.stop._target_=stopping.TerminateAt", f"+callbacks.stop.step={step}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    ended = subprocess.run(
        [sys.executable, "-m", "jewelenh.train", *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.slow
def test_two_ranks_of_one_run_stop_together_and_go_on_to_the_same_weights(photos, tiny_weights, tmp_path):
    code, said = train(tmp_path, photos, tiny_weights, "stopped", step=3)
    assert code == 143, said
    [run] = (tmp_path / "stopped" / "train").iterdir()
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "stopped" and torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]

    code, said = train(tmp_path, photos, tiny_weights, "stopped", step=3)
    assert code == 0 and "going on with the run" in said, said
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "finished" and state["tries"] == 2 and (run / "metrics.json").is_file()
    assert [path.name for path in (tmp_path / "stopped" / "train").iterdir()] == [run.name]

    code, said = train(tmp_path, photos, tiny_weights, "whole", step=1000)
    assert code == 0, said
    [whole] = (tmp_path / "whole" / "train").iterdir()
    weights = [torch.load(one / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for one in (run, whole)]
    for name, value in weights[1].items():
        assert torch.equal(weights[0][name], value), name
