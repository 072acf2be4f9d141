"""The campaign of faults: its runner runs, and what is published of it is what it found."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).resolve().parent.parent / "experiments" / "faults"


@pytest.mark.slow
def test_a_few_faults_are_tried_and_held(tmp_path):
    words = ["a misspelt experiment", "photos: float.tif", "photos: cmyk.jpg", "SIGKILL in degrade, three"]
    command = [sys.executable, str(CAMPAIGN / "run.py"), "--folder", str(tmp_path), "--only", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 held, 0 broken, 0 skipped" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_published_is_what_was_found():
    with (CAMPAIGN / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["verdict"] for row in rows)
    head = re.search(r"(\d+) faults: (\d+) held, (\d+) broken, (\d+) skipped", (CAMPAIGN / "README.md").read_text())
    assert head is not None
    assert [int(n) for n in head.groups()] == [len(rows), *(counts[word] for word in ("held", "broken", "skipped"))]
    assert len({(row["area"], row["fault"]) for row in rows}) == len(rows) >= 100
