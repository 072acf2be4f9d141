"""Recorded draws made again: the same bytes, elsewhere, and every difference said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from jewelenh.degradation.draws import read_draws
from jewelenh.degradation.run import degrade, replay
from jewelenh.errors import ItemsFailedError


@pytest.fixture
def degraded(folder, raw_of, everything_on, tmp_path):
    return degrade(raw_of(folder), replace(everything_on, variants=2), 42, tmp_path / "data", workers=2)


@pytest.fixture
def lines(degraded):
    return read_draws(degraded.directory / "draws.jsonl")


@pytest.mark.parametrize("workers", [1, 4])
def test_replay_makes_the_same_bytes_from_draws_and_photos_alone(
    folder, raw_of, degraded, lines, contents, tmp_path, workers
):
    raw = raw_of(folder, tmp_path / "elsewhere")
    again = replay(lines, raw, tmp_path / "elsewhere", workers=workers)
    assert again.directory.parent == tmp_path / "elsewhere" / "degraded"
    assert again.directory.name.startswith("all_replay-")
    assert contents(again) == contents(degraded)
    assert (again.directory / "draws.jsonl").read_bytes() == (degraded.directory / "draws.jsonl").read_bytes()


def test_replay_always_works_from_the_start_and_leaves_the_stage_alone(folder, raw_of, degraded, lines, tmp_path):
    before = {path: path.read_bytes() for path in degraded.directory.rglob("*.png")}
    for _ in range(2):
        assert replay(lines, raw_of(folder), tmp_path / "data").n_made == 12
    assert before == {path: path.read_bytes() for path in degraded.directory.rglob("*.png")}


def test_other_parameters_pixels_or_photos_are_found(folder, raw_of, lines, ring, tmp_path):
    lines = json.loads(json.dumps(lines))
    by_place = {(line["photo"], line["variant"]): line for line in lines}
    by_place["c.png", 0]["draw"]["jpeg"]["quality"] += 1
    by_place["c.png", 1]["pixels_sha256"] = "0" * 64
    by_place["d.jpg", 0]["file_sha256"] = "0" * 64
    by_place["d.jpg", 1]["draw"]["blur"]["radius"] = 3
    (folder / "rings/a.jpg").unlink()
    Image.fromarray(ring(70)).save(folder / "rings/b.jpg")
    with pytest.raises(ItemsFailedError, match="replay: 8 of 12 failed"):
        replay(lines, raw_of(folder), tmp_path / "data")
    failures = replay(lines, raw_of(folder), tmp_path / "data", on_error="skip").failures
    assert "pixels differ" in failures["c.png"]
    assert "pixels differ" in failures["c.png~1"]
    assert "PNG around them is not" in failures["d.jpg"]
    assert "radius" in failures["d.jpg~1"]
    assert "no such photo" in failures["rings/a.jpg"]
    assert "another" in failures["rings/b.jpg~1"]


PROGRAM = """
import sys
from pathlib import Path
from jewelenh.config import Source
from jewelenh.degradation.draws import read_draws
from jewelenh.degradation.run import replay
from jewelenh.sources import fetch

photos, draws, data_dir = map(Path, sys.argv[1:])
raw = fetch(Source(kind="folder", root=photos), 42, data_dir)
print(len(replay(read_draws(draws), raw, data_dir).items))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "machine",
    [
        {"OPENCV_IPP": "disabled", "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16,AVX,SSE4.2,SSE4.1"},
        {"OPENCV_IPP": "sse42", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3", "JSIMD_FORCENONE": "1"},
    ],
    ids=["no vector units in OpenCV", "an old processor for IPP, NumPy and libjpeg-turbo"],
)
def test_a_processor_that_can_do_less_makes_the_same_bytes(folder, degraded, tmp_path, machine):
    """All that OpenCV, IPP, NumPy and libjpeg-turbo let us switch off: what another machine may lack."""
    arguments = [folder, degraded.directory / "draws.jsonl", tmp_path / "elsewhere"]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env={**os.environ, **machine},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "12\n", result.stderr
