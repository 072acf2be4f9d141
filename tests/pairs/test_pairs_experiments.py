"""The studies' commands run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from drawn_pairs import drawn_photo

from jewelenh.images import Photo, encode_png

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(EXPERIMENTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_split_leaks(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(encode_png(Photo(drawn_photo(number // 2))))
    table = run("split_leaks/measure.py", tmp_path, "--seeds", 3, "--sheet", tmp_path / "sheet.png")
    assert "12 photos" in table and "| 0 | 6 | 6 | 12 | 2 |" in table
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_pair_alignment(write_as):
    table = run("pair_alignment/measure.py", write_as(size=None).directory)
    still, moved = table.splitlines()[2:]
    assert "| 0, 0 |" in still and still.endswith("| 0/16 |")
    assert "| 3, 2 |" in moved and int(moved.split("|")[-2].split("/")[0]) >= 12
