"""`python -m jewelenh.pair`, as it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from drawn_pairs import blurred, drawn_photo

from jewelenh.pairs.contract import read_pairs


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jewelenh.pair", *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_check_of_a_directory(written, tmp_path):
    good = run(tmp_path, "check=true", f"directory={written.directory}")
    assert good.returncode == 0, good.stderr
    assert "16 pairs keep the contract" in good.stdout
    written.path(written.pairs[0].input).unlink()
    bad = run(tmp_path, "check=true", f"directory={written.directory}")
    assert bad.returncode == 1
    assert "missing" in bad.stdout and "Traceback" not in bad.stderr
    assert json.loads((written.directory / "doctor.json").read_text())["n_errors"] == 1


def test_import(tmp_path):
    folder = tmp_path / "foreign"
    folder.mkdir()
    for number in range(9):
        for role, pixels in (("input", blurred(drawn_photo(number))), ("target", drawn_photo(number))):
            array = (pixels / 255 * 2 - 1).astype(np.float32).transpose(2, 0, 1)
            np.save(folder / f"{number}_{role}.npy", np.ascontiguousarray(array))
    words = ["range=signed", "layout=chw", "colours=rgb"]
    done = run(tmp_path, f"import={folder}", *words, "check=true", "pairs.split.near_duplicate_bits=0")
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "data" / "pairs").iterdir()
    assert len(read_pairs(directory).pairs) == 9 and f"9 pairs keep the contract: {directory}" in done.stdout
    unsaid = run(tmp_path, f"import={folder}", "colours=rgb")
    assert unsaid.returncode == 2 and "range=signed?" in unsaid.stderr and "Traceback" not in unsaid.stderr
    wrong = run(tmp_path, f"import={folder}", "range=percent")
    assert wrong.returncode == 2 and "range = 'percent'" in wrong.stderr
