"""What surrounds the package is true: installing, the Makefile, the container, the workflow, the citation."""

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from jewelenh import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OFFICIAL = {"basicsr", "realesrgan"}


def dry_run(target: str) -> list[list[str]]:
    """Return the commands that `make <target>` would run in an empty folder for the environment, as words."""
    ended = subprocess.run(
        ["make", "-n", target, "VENV=/nowhere"], cwd=REPO, capture_output=True, text=True, check=True
    )
    return [shlex.split(line) for line in ended.stdout.splitlines()]


def installs(target: str) -> list[list[str]]:
    return [words[words.index("install") + 1 :] for words in dry_run(target) if "install" in words]


def run_job(job: str, *overrides: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"jewelenh.{job}", *overrides],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(REPO), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_train_installs_only_what_it_needs():
    assert installs("train") == [["-c", "constraints.txt", "-e", ".[tracking]"]]
    assert all(installs(job) == installs("train") for job in ("fetch", "evaluate", "predict", "report"))


@pytest.mark.parametrize("target", ["setup", "check", "test", "demo", "export"])
def test_setup_installs_everything_and_the_official_engine_last(target):
    *_, extras, official = installs(target)
    assert set(re.findall(r"\w+", extras[-1])) == set(EXTRAS)
    assert "--no-deps" in official and {Requirement(word).name for word in official[3:]} == OFFICIAL


def test_nothing_that_is_installed_overwrites_the_headless_opencv():
    """Both builds write the folder cv2; the one with windows needs libGL, and containers have none."""
    import cv2

    assert re.search(r"^ *GUI: +NONE$", cv2.getBuildInformation(), re.MULTILINE), "make setup puts it right"
    installed = {found.name.lower().replace("_", "-") for found in importlib.metadata.distributions()}
    assert "opencv-python-headless" in installed and "opencv-python" not in installed


def test_an_opencv_that_cannot_be_loaded_is_told_from_a_fault_of_ours(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object', name='cv2')\n")
    ended = run_job("fetch", "source.limit=1", folder=tmp_path, PYTHONPATH=os.pathsep.join([".", *sys.path]))
    assert ended.returncode == 1
    assert "libGL.so.1" in ended.stderr and "fix:      pip uninstall -y opencv-python " in ended.stderr
    assert "fault of jewelenh" not in ended.stderr


@pytest.mark.parametrize("argument", ["--cfg=job", "sed=1", "experiment=nothing"])
def test_nothing_that_hydra_and_omegaconf_deprecate_is_used(tmp_path, argument):
    """With the next minor versions too, which the requirements allow."""
    ended = run_job("train", argument, folder=tmp_path, PYTHONWARNINGS="error")
    assert ended.returncode == (0 if argument == "--cfg=job" else 2), ended.stderr
    assert "arning" not in ended.stderr


def test_every_requirement_is_pinned_and_no_extra_asks_for_the_other_opencv():
    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {Requirement(line).name.lower() for line in lines if not line.startswith("#")}
    asked = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    assert {Requirement(line).name.lower() for line in asked} <= pinned
    assert pinned >= OFFICIAL
    assert not {"opencv-python", "gfpgan", "facexlib"} & pinned
    assert not OFFICIAL & {Requirement(line).name for line in asked}


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_each_python_has_one_pin_of_each_package(version):
    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines()
    environment = {"python_version": version, "python_full_version": f"{version}.0", "sys_platform": "linux"}
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    names = [found.name for found in wanted if found.marker is None or found.marker.evaluate(environment)]
    assert len(names) == len(set(names)) > 100
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_container_copies_what_exists_and_runs_what_exists():
    text = (REPO / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0].isalpha()]
    words = [step for step, _ in steps]
    assert words.index("ARG") < words.index("FROM") and dict(steps)["FROM"] == "python:${PYTHON}-slim-bookworm"
    python = re.search(r"^ARG PYTHON=(.*)$", text, re.MULTILINE)
    assert python and f"Programming Language :: Python :: {python.group(1)}" in PROJECT["classifiers"]
    ignored = (REPO / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in [word for step, rest in steps if step == "COPY" for word in rest.split()[:-1]]:
        assert (REPO / source).exists(), source
        assert f"!{source}" in ignored
    extras = re.search(r"^ARG EXTRAS=(.*)$", text, re.MULTILINE)
    assert extras and set(extras.group(1).split(",")) <= set(EXTRAS)
    assert words.index("USER") > max(place for place, step in enumerate(words) if step == "RUN")
    assert not re.search(r"libgl|apt-get", text, re.IGNORECASE)
    assert dict(steps)["CMD"] == '["python", "-m", "jewelenh", "--help"]'
    for job in re.findall(r"-m jewelenh\.(\w+)", text):
        assert (REPO / "jewelenh" / f"{job}.py").is_file()


def test_the_workflow_and_the_hooks_call_what_developers_call():
    workflow = yaml.safe_load((REPO / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["check"]["steps"][-1] == {"run": ".ci/run"}
    for version in workflow["jobs"]["check"]["strategy"]["matrix"]["python"]:
        assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    checked = " ".join(word for words in dry_run("check") for word in words)
    assert all(hook["entry"].split(" -m ")[1].removesuffix(" --fix") in checked for hook in hooks)


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (__version__, PROJECT["license"])
    assert cited["authors"] == PROJECT["authors"]
    assert f"## {__version__}\n" in (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
