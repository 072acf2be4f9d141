"""`python -m jewelenh.degrade` as a user types it, in this process; one as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def stages(tmp_path):
    def find(name: str = "*") -> list[Path]:
        return sorted(path.parent for path in (tmp_path / "data" / "degraded").glob(f"{name}/manifest.json"))

    return find


@pytest.fixture
def degrade(run_job, folder):
    return lambda *overrides: run_job("degrade", *overrides, "source=folder", f"source.root={folder}")


def test_a_run_its_replay_and_another_run(degrade, stages, folder):
    first = degrade("degradation=moderate", "degradation.variants=2")
    assert first.code == 0
    assert "degrade moderate: 12 made, 0 there already" in first.err
    [stage] = stages()
    again = degrade(f"replay={stage}/draws.jsonl", "hardware.workers=3")
    assert again.code == 0
    assert "12 of 12 made again, byte for byte" in again.err
    [replayed] = stages("moderate_replay-*")
    for path in stage.rglob("*.png"):
        assert (replayed / path.relative_to(stage)).read_bytes() == path.read_bytes()
    assert "0 made, 12 there already" in degrade("degradation=moderate", "degradation.variants=2").err
    Image.new("RGB", (9, 9)).save(folder / "c.png")
    differs = degrade(f"replay={stage}/draws.jsonl")
    assert differs.code == 1
    assert "2 of 12 failed" in differs.err
    assert "'c.png': The source's photo is another" in differs.err


def test_sweeps_give_one_stage_each(degrade, stages):
    assert degrade("-m", "degradation=mild,moderate,severe", "source.limit=2").code == 0
    assert [stage.name.split("-")[0] for stage in stages()] == ["mild", "moderate", "severe"]
    assert degrade("-m", "degradation.noise.gaussian_sigma=[5,10],[10,20],[20,40]", "source.limit=2").code == 0
    specs = [json.loads((stage / "manifest.json").read_text())["spec"] for stage in stages("mild-*")]
    sigmas = sorted(spec["level"]["noise"]["gaussian_sigma"] for spec in specs)
    assert sigmas == [[2, 4], [5, 10], [10, 20], [20, 40]]


@pytest.mark.parametrize("typed", [["preview=true"], ["preview.photos=2", "preview=True"], ["preview=sheet"]])
def test_preview_writes_one_sheet_and_nothing_else(degrade, stages, tmp_path, typed):
    outcome = degrade(*typed)
    assert outcome.code == 0
    [file] = (tmp_path / "outputs").rglob("preview.png")
    assert str(file) in outcome.err
    n_rows = 2 if "preview.photos=2" in typed else 6
    assert (Image.open(file).height > 1000) == (n_rows == 6)
    assert stages() == []


def test_a_level_of_ones_own_is_one_file(degrade, stages, tmp_path):
    from jewelenh.job import CONF_DIR

    own = tmp_path / "own" / "degradation"
    own.mkdir(parents=True)
    text = (CONF_DIR / "degradation" / "mild.yaml").read_text().replace("name: mild", "name: steamy")
    (own / "steamy.yaml").write_text(text)
    assert degrade("--config-dir", str(own.parent), "degradation=steamy").code == 0
    assert stages()[0].name.startswith("steamy-")
    with_own = degrade("--config-dir", str(own.parent), "preview=true", "preview.photos=1")
    assert with_own.code == 0, with_own.err
    [file] = (tmp_path / "outputs").rglob("preview.png")
    n_columns = len(list((CONF_DIR / "degradation").glob("*.yaml"))) + 2  # raw, and the level of one's own
    assert Image.open(file).width > n_columns * 160


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("degradation.noise.gaussian_sigma=[20,10]", "to swap the ends write [10, 20]"),
        ("degradation.blur.gaussian_sigma_px=[-1,1]", "inside [0, 50]"),
        ("degradation.blur.motion_length_px=[0,5]", "inside [1, 99]"),
        ("degradation.jpeg.probability=1.2", "a number from 0 to 1"),
        ("degradation.noise.kinds=[]", "degradation.noise.kinds"),
        ("degradation=modrate", "Did you mean moderate?"),
        ("degradation.noise.sigma=3", "degradation.noise.sigma"),
        ("preview.photos=3", "add preview=true"),
        ("preview=yes", "sheet"),
    ],
)
def test_what_cannot_be_done_stops_before_any_work(degrade, tmp_path, typed, said):
    outcome = degrade(typed)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "data").exists()


def test_a_file_that_holds_no_draws_stops_before_any_work(degrade, tmp_path, folder):
    for file, said in [("nothing.jsonl", "cannot be read"), (folder / "c.png", "no file of draws")]:
        outcome = degrade(f"replay={file}")
        assert outcome.code == 1
        assert said in outcome.err
        assert not (tmp_path / "data").exists()


def test_bad_photos_are_reported_and_the_rest_is_finished(degrade, stages, folder):
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("a ring")
    (folder / "cut ring.jpg").write_bytes((folder / "d.jpg").read_bytes()[:700])
    outcome = degrade()
    assert outcome.code == 1
    assert "5 of 11 failed" in outcome.err
    for name in ("pipe.jpg", "gone.jpg", "empty.jpg", "text.jpg", "cut ring.jpg"):
        assert repr(name) in outcome.err
    assert "Traceback" not in outcome.err
    assert len(list(stages()[0].rglob("*.png"))) == 6
    assert degrade("on_error=skip").code == 0


@pytest.mark.slow
def test_as_a_process_of_its_own(folder, tmp_path):
    command = [sys.executable, "-m", "jewelenh.degrade", "source=folder", f"source.root={folder}", "preview=true"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert list(tmp_path.rglob("preview.png"))
