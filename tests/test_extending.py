"""Every snippet of docs/extending.md runs as it is written there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests_drawn import chain_overrides

from jewelenh import metrics, sources

REPO = Path(__file__).resolve().parent.parent
PAGE = (REPO / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)


def run_as_written(command: str, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Write the page's files below `folder` and run one of its commands there, on small photos."""
    for name, text in FILES.items():
        if not name.startswith("jewelenh/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    words = shlex.split(command)
    path = [os.environ.get("PYTHONPATH", "")]
    if words[0] == "PYTHONPATH=.":
        path, words = [".", *path], words[1:]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    return subprocess.run(
        [sys.executable, *words[1:], *overrides],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_has_what_is_tested_here():
    assert len(COMMANDS) == 3
    assert {"my_parts.py", "my_losses.py", "jewelenh/metrics.py", "jewelenh/sources.py"} <= set(FILES)
    assert len(FILES) == len(re.findall(r"```(?:yaml|python)\n", PAGE))
    assert all(text.count("\n") <= 16 for text in FILES.values())


def test_a_level_of_ones_own(tmp_path, photos, tiny_weights):
    ended = run_as_written(COMMANDS[0], tmp_path, *chain_overrides(photos, tiny_weights))
    assert ended.returncode == 0, ended.stderr
    (draws,) = tmp_path.glob("data/degraded/chat-*/draws.jsonl")
    qualities = [int(found) for found in re.findall(r'"quality": ?(\d+)', draws.read_text(encoding="utf-8"))]
    assert qualities and all(20 <= quality <= 40 for quality in qualities)


@pytest.mark.slow
def test_a_network_and_a_loss_of_ones_own(tmp_path, photos, tiny_weights):
    crops = ["data.crop=32", "data.eval_crop=null", "data.crops_per_photo=1"]
    small = [*chain_overrides(photos, tiny_weights), *crops, "trainer.max_epochs=1", "logger=csv"]
    ended = run_as_written(COMMANDS[1], tmp_path, *small)
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.glob("outputs/train/*/checkpoints/*.ckpt"))
    assert "PSNR (dB)" in ended.stdout
    refused = run_as_written(COMMANDS[2].replace("my_parts", ""), tmp_path)
    assert refused.returncode == 1 and "trust" in refused.stderr
    evaluated = run_as_written(COMMANDS[2], tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr


def test_a_metric(monkeypatch):
    source, entry = FILES["jewelenh/metrics.py"].rsplit("\n\n\n", 1)
    names = vars(metrics) | {}
    exec(source, names)
    metric = eval(entry, names)
    first, second = np.random.default_rng(1).integers(0, 256, (2, 9, 7, 3), np.uint8)
    expected = np.abs(first / 255 - second / 255).mean()
    assert metrics.scores_of(first, second, [metric]) == {"mae": pytest.approx(expected)}
    assert metric.text(expected, sign=True).startswith("+0.3")


def test_a_source(tmp_path, photos):
    names = vars(sources) | {}
    exec(FILES["jewelenh/sources.py"], names)
    archive = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", photos))
    source = SimpleNamespace(kind="zip", root=archive, limit=5, extensions=(".png",))
    folder, spec = names["SOURCES"]["zip"](source, tmp_path / "data", False)
    assert len(sources.find_photos(folder, source.extensions)) == 12
    assert names["SOURCES"]["zip"](source, tmp_path / "data", False) == (folder, spec)
    assert {"sample", "folder", "kaggle", "zip"} == set(names["SOURCES"])
