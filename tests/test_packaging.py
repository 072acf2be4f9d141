"""The wheel carries configuration and sample, and its jobs run from any directory."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
JOBS = ("fetch", "degrade", "enhance", "pair", "train", "evaluate", "predict", "demo", "export", "report")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        ".",
    ]
    ended = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_everything_that_runs(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert "jewelenh/conf/train.yaml" in names and "jewelenh/conf/experiment/mild.yaml" in names
    assert sum(name.startswith("jewelenh/sample/photos/") for name in names) >= 96
    assert "jewelenh/sample/compact.safetensors" in names
    templates = {path.name for path in (REPO / "jewelenh" / "reporting" / "templates").iterdir()}
    assert templates and {f"jewelenh/reporting/templates/{name}" for name in templates} <= names
    assert "hydra_plugins/hydra_jewelenh/launchers.py" in names and "hydra_plugins/__init__.py" not in names
    assert not any(name.startswith(("tests/", "experiments/", "data/")) for name in names)
    assert wheel.stat().st_size < 8_000_000


def test_an_installed_job_runs_from_any_directory(wheel, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    script = "import jewelenh.fetch, jewelenh.job; print(jewelenh.job.CONF_DIR); jewelenh.fetch.main()"
    ended = subprocess.run(
        [sys.executable, "-c", script, "source.limit=4"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert str(site / "jewelenh" / "conf") in ended.stdout
    assert "fetch: 4 made" in ended.stderr
    assert (tmp_path / "data" / "raw").is_dir() and (tmp_path / "outputs" / "fetch").is_dir()


def test_every_job_is_a_console_script():
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"\[project\.scripts\]\n((?:.+\n)+)", text)
    assert block
    assert block.group(1).splitlines() == [f'jewelenh-{job} = "jewelenh.{job}:main"' for job in JOBS]
