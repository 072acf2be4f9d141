"""`python -m jewelenh` says what there is, at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jewelenh import __version__
from jewelenh.__main__ import JOBS, main

REPO = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("argv", [["--help"], []])
def test_the_jobs_are_listed_in_the_order_of_the_chain(argv):
    ended = subprocess.run(
        [sys.executable, "-m", "jewelenh", *argv], capture_output=True, text=True, check=False, cwd=REPO
    )
    assert ended.returncode == 0, ended.stderr
    listed = re.findall(r"^  ([a-z]+) {2,}(\w.{15,})$", ended.stdout.partition("options:")[0], re.MULTILINE)
    assert tuple(name for name, _ in listed) == JOBS


def test_the_jobs_are_those_of_the_package():
    """Each has its module and its YAML file, and no such pair is left out."""
    modules = {file.stem for file in (REPO / "jewelenh").glob("*.py")}
    assert modules & {file.stem for file in (REPO / "conf").glob("*.yaml")} - {"base", "chain", "wandb_sweep"} == set(
        JOBS
    )


def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jewelenh {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["train", "seed=7"], "python -m jewelenh.train seed=7"),
        (["trian"], "Did you mean train?"),
        (["zzz"], "no job zzz"),
    ],
)
def test_a_job_is_not_run_but_pointed_at(argv, answer, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert answer in capsys.readouterr().err


def test_nothing_heavy_is_imported():
    probe = (
        "import sys; from jewelenh.__main__ import main; main([]); print({'torch', 'cv2', 'hydra'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=REPO)
    assert ended.stdout.endswith("set()\n")
