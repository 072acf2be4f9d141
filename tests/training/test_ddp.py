"""Two processes of Lightning's DDP train to the same weights as one with twice the batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = """
import json, sys
sys.path[:0] = [{tests!r}, {here!r}]
import importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("parts", {here!r} + "/conftest.py")
parts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parts)
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from jewelenh.pairs.contract import read_pairs
from jewelenh.training.callbacks import warm_average
from jewelenh.training.interruption import SaveWhenStopped

if __name__ == "__main__":
    folder, n = Path(sys.argv[1]), int(sys.argv[2])
    more = {{"devices": 2, "strategy": "ddp_fork"}} if n == 2 else {{}}
    average = WeightAveraging(avg_fn=warm_average(0.9))
    callbacks = [average, ModelCheckpoint(folder, save_last=True), SaveWhenStopped(folder)]
    run = parts.Run(read_pairs(Path({pairs!r})), callbacks, epochs=3, batch_size=8 // n, **more)
    run.fit()
    if run.trainer.is_global_zero:
        values = {{name: float(value) for name, value in run.trainer.callback_metrics.items()}}
        (folder / "values.json").write_text(json.dumps(values))
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(pairs, tmp_path):
    here = Path(__file__).parent
    n_train = len(pairs.split("train"))
    assert n_train % 8 == 0  # else the last batches differ, as torch pads the ranks to equal lengths
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=str(here.parent), here=str(here), pairs=str(pairs.directory)))
    found = {}
    for n in (1, 2):
        folder = tmp_path / str(n)
        folder.mkdir()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(program), str(folder), str(n)]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
        found[n] = checkpoint, json.loads((folder / "values.json").read_text())
    assert found[1][0]["global_step"] == found[2][0]["global_step"] == 3 * n_train // 8
    for name, value in found[1][0]["state_dict"].items():
        assert torch.allclose(found[2][0]["state_dict"][name], value, atol=1e-4), name
    assert found[2][1]["train/loss_epoch"] == pytest.approx(found[1][1]["train/loss_epoch"], rel=0.2)
