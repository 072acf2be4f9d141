"""The commands that experiments document run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_the_large_photo_script_on_a_small_one(compact_file):
    command = [sys.executable, EXPERIMENTS / "large_photo" / "measure.py", compact_file, "90", "60"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "peak memory" in ended.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="the script measures for real where it can")
def test_the_gpu_script_says_what_is_missing():
    command = [sys.executable, EXPERIMENTS / "esrgan_gpu" / "measure.py"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "no CUDA device" in ended.stderr
