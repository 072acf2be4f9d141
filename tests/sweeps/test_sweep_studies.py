"""The studies' commands compose as written, and their tables come from a sweep's directory."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from sweep_record import fake_run

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.mark.parametrize("study", ["levels", "noise_ladder"])
def test_a_study_is_one_command(study, run_job):
    text = (EXPERIMENTS / study / "README.md").read_text()
    [command] = re.findall(r"^python -m jewelenh\.train -m (.*)$", text, re.MULTILINE)
    first = [re.sub(r"=(\[[^\]]*\]|[^,\[]*),.*$", r"=\1", word) for word in shlex.split(command)]
    shown = run_job("train", *first, "--cfg", "job", "--resolve")
    assert shown.code == 0, shown.err
    level = {"levels": "name: mild\n", "noise_ladder": "name: moderate\n"}[study]
    assert level in shown.out and "seed: 1\n" in shown.out


def table(monkeypatch, capsys, *words):
    file = EXPERIMENTS / "levels" / "table.py"
    spec = importlib.util.spec_from_file_location("study_table", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [str(file), *words])
    module.main()
    return capsys.readouterr()


def test_the_table_has_a_row_for_each_level(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "sweep"
    for number, (level, seed, gain_db) in enumerate([("severe", 1, 0.5), ("mild", 1, 0.1), ("mild", 2, 0.3)]):
        fake_run(
            folder,
            number,
            gain_db,
            level=level,
            seed=seed,
            overrides=(f"degradation={level}", f"seed={seed}"),
        )
    fake_run(
        folder,
        3,
        state="failed",
        level="severe",
        seed=2,
        overrides=("degradation=severe", "seed=2"),
        reason="no",
    )
    shown = table(monkeypatch, capsys, f"sweep={tmp_path / 'sweep'}")
    lines = shown.out.splitlines()
    assert lines[2].startswith("| mild | 2 | 30.00 | 30.20 | +0.20 ± 0.14 | +0.20 to +0.20 | 2 of 2 |")
    assert lines[3].startswith("| severe | 1 | 30.00 | 30.50 | +0.50 |") and len(lines) == 4
    assert "without a result: job 3 (severe, seed 2): no" in shown.err


def test_the_table_of_a_ladder_shows_the_rungs(tmp_path, monkeypatch, capsys):
    for number, sigma in enumerate(("[0,0]", "[16,16]")):
        fake_run(tmp_path / "sweep", number, 0.1, overrides=(f"degradation.noise.gaussian_sigma={sigma}", "seed=1"))
    lines = table(monkeypatch, capsys, f"sweep={tmp_path / 'sweep'}", "column=noise_sigma").out.splitlines()
    assert lines[0].startswith("| noise_sigma | seeds |") and lines[3].startswith("| [16,16] | 1 |")
