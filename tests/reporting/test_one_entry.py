"""A metric is one entry: with it there, every file, table and page has it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from drawn_pairs import Upstream, drawn_photo, small_pairs
from sweep_record import fake_run

TESTS = Path(__file__).resolve().parents[1]
ADDED = """
import sys
from pathlib import Path
import jewelenh.metrics as metrics

def mae(image, target):
    return (image - target).abs().mean(dim=(1, 2, 3))

entry = metrics.Metric("mae", "MAE", mae, 4, higher_is_better=False, definition="mean absolute error, peak 1")
metrics.METRICS["mae"] = entry
metrics.PIXEL_METRICS = (*metrics.PIXEL_METRICS, entry)

from jewelenh.evaluation.run import open_checkpoints
from jewelenh.reporting.evaluation import report
from jewelenh.reporting.sweep import write_report

run = Path(sys.argv[1])
report(open_checkpoints([run / "checkpoints" / "best.ckpt"]), run)
write_report(Path(sys.argv[2]))
from jewelenh.reporting.card import Exported, model_card
from jewelenh.refinement.checkpoint import read_checkpoint
import json
found = json.loads((run / "metrics.json").read_text())
card = model_card(read_checkpoint(run / "checkpoints" / "best.ckpt"), Exported(1, {}), found)
(run / "card.md").write_text(card)
"""


def checkpoint(file: Path, pairs_dir: Path) -> None:
    from jewelenh.refinement.checkpoint import KEY, describe
    from jewelenh.refinement.networks import RefinementCNN

    node = {"_target_": "jewelenh.refinement.networks.RefinementCNN", "features": 4}
    config = {"enhancer": {"name": "compact"}, "degradation": {"name": "mild"}, "seed": 1}
    state = {f"network.{name}": value for name, value in RefinementCNN(4).state_dict().items()}
    file.parent.mkdir(parents=True)
    torch.save({"state_dict": state, "epoch": 0, "global_step": 1, KEY: describe(node, config, pairs_dir)}, file)


def test_a_metric_that_is_added_is_everywhere(tmp_path):
    upstream = Upstream(tmp_path / "upstream")
    for number in range(8):
        upstream.photo(f"ring {number}.jpg", drawn_photo(number, (40, 40)))
    pairs = upstream.write(tmp_path / "data", small_pairs(size=32), level="mild")
    sweep_dir = tmp_path / "sweeps" / "now"
    run = fake_run(sweep_dir, 0)
    checkpoint(run / "checkpoints" / "best.ckpt", pairs.directory)
    script = [sys.executable, "-c", ADDED, str(run), str(sweep_dir)]
    path = os.pathsep.join([str(TESTS.parent), *sys.path])
    ended = subprocess.run(script, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "MAE (lower is better)" in ended.stdout
    content = json.loads((run / "metrics.json").read_text())
    assert "mae" in content["summary"] and "mae" in content["photos"][0]["refined"]
    assert content["protocol"]["metrics"]["mae"] == "mean absolute error, peak 1"
    with (run / "metrics.csv").open() as lines:
        assert {"mae_input", "mae_refined", "mae_gain"} <= set(csv.DictReader(lines).fieldnames or [])
    page = (run / "report.html").read_text()
    assert "Gains in MAE" in page and page.count("MAE (lower is better)") >= 3
    assert "| MAE (lower is better) |" in (run / "card.md").read_text()
    assert "MAE change" in (sweep_dir / "summary.md").read_text()
    assert "mae_gain_low" in (sweep_dir / "summary.csv").read_text().splitlines()[0]
