"""The README's commands are real: each composes as written, the runnable ones run, pictures and targets exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests_drawn import chain_overrides

REPO = Path(__file__).resolve().parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")
PAGES = {page: page.read_text(encoding="utf-8") for page in [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]}
BLOCKS = [block for page in PAGES.values() for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)]
COMMANDS = sorted(
    {
        line.split(" #")[0].strip()
        for block in BLOCKS
        for line in block.splitlines()
        if line.startswith("python -m jewelenh.") and "--config-dir" not in line  # those run in test_extending.py
    }
)
EVERYTHING = "\n".join(PAGES.values())
INLINE = sorted(set(re.findall(r"`(python -m jewelenh\.[^`<\n]+=[^`<\n]+)`", EVERYTHING)))


def test_there_are_commands_to_try():
    assert len(COMMANDS) >= 8
    assert any("-m experiment=mild,moderate,severe" in command for command in COMMANDS)


def test_the_readme_is_short():
    assert README.count("\n") <= 130


def first_of_each(overrides: list[str]) -> list[str]:
    """Return overrides with the first value of a sweep in place of all."""
    return [word if "[" in word or "(" in word else word.split(",")[0] for word in overrides]


@pytest.mark.parametrize("command", [*COMMANDS, *INLINE])
def test_commands_compose_as_written(command, tmp_path):
    words = [word for word in shlex.split(command) if word != "-m"]
    job = words[1].removeprefix("jewelenh.")
    overrides = [word for word in first_of_each(words[2:]) if not word.startswith("hydra/launcher=ray")]
    ended = subprocess.run(
        [sys.executable, "-m", f"jewelenh.{job}", *overrides, "--cfg", "job", "--resolve"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^seed: \d+$", ended.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_folder_command_runs(run_job, photos, tiny_weights):
    command = next(command for command in COMMANDS if "source.root=/path/to/photos" in command)
    overrides = shlex.split(command)[3:]
    assert overrides[0] == "experiment=mild"
    small = [
        *chain_overrides(photos, tiny_weights)[1:],
        "data.crop=32", "data.eval_crop=null", "data.crops_per_photo=1", "model.network.features=4",
        "trainer.max_epochs=1",
    ]  # fmt: skip
    given = {word.split("=")[0] for word in small}
    outcome = run_job("train", *[word for word in overrides if word.split("=")[0] not in given], *small)
    assert outcome.code == 0, outcome.err
    assert "PSNR (dB)" in outcome.out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        file, _, heading = target.partition("#")
        if not target.startswith("https://"):
            there = page.parent / file if file else page
            assert there.exists(), target
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
            assert heading in {re.sub(r"[^a-z0-9-]", "", text.lower().replace(" ", "-")) for text in ["", *headings]}


def test_jobs_and_make_targets_exist():
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    jobs = re.search(r"^JOBS := (.*)$", makefile, re.MULTILINE)
    assert jobs
    for job in jobs.group(1).split():
        assert (REPO / "jewelenh" / f"{job}.py").is_file()
        assert (REPO / "conf" / f"{job}.yaml").is_file()
        assert f"`{job}`" in README
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", EVERYTHING, re.MULTILINE):
        assert re.search(rf"^{target}:|JOBS := .*\b{target}\b", makefile, re.MULTILINE) or target == "bench", target


def test_the_house_names_every_room():
    house = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[3]
    for path in sorted((REPO / "jewelenh").iterdir()):
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert re.search(rf"\b{path.name}\b", house), path.name
        elif (path / "__init__.py").is_file() or path.name == "sample":
            assert f" {path.name}/ " in house, path.name
    for name in re.findall(r"^  (\w+)/ ", house, re.MULTILINE):
        assert (REPO / "jewelenh" / name).is_dir(), name
    for name in re.findall(r"\b(\w+\.py)\b", house):
        assert (REPO / "jewelenh" / name).is_file(), name
