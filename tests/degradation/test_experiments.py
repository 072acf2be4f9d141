"""The commands of the ranking study and of the benchmark run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def load(path: str):
    """Import a script by its path, whatever the current directory."""
    spec = importlib.util.spec_from_file_location("experiment_" + Path(path).stem, EXPERIMENTS / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(path: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    module = load(path)
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    module.main()


def test_the_ranking_study(folder, monkeypatch, capsys):
    run("degradation_ranking/measure.py", monkeypatch, f"root={folder}", "seeds=1,2")
    shown = capsys.readouterr().out
    assert "seed 2, 6 photos" in shown
    assert "| severe |" in shown
    assert "ranked photo by photo: PSNR 100.0%" in shown


@pytest.mark.slow
def test_the_benchmark(folder, monkeypatch, capsys):
    run("bench/degradation.py", monkeypatch, f"photos={folder}", "repeats=1", "level=severe", "workers=2")
    shown = capsys.readouterr().out
    assert "degradation, level severe" in shown
    assert "the job's whole stage with files, 2 workers" in shown


def test_the_plain_loop_of_the_benchmark_does_the_same_operations(level, ring):
    """Means within a grey level or two and a close picture: else the benchmark compares different work."""
    import numpy as np

    from jewelenh.degradation.draws import apply, sample
    from jewelenh.degradation.transforms import steps_of

    plain = load("bench/degradation.py").plain_loop
    for i in range(20):
        draw = sample(steps_of(level("study")), 3, "study", 0, f"{i}.jpg")
        draw.pop("noise", None)
        difference = plain(draw, ring(i), i).astype(float) - apply(draw, ring(i))
        assert abs(difference.mean()) < 2
        assert np.abs(difference).mean() < 4
