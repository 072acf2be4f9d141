"""Imports point one way, Lightning keeps to its rooms, and what answers at once imports nothing heavy."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "jewelenh"
JOBS = ("fetch", "degrade", "enhance", "pair", "train", "evaluate", "predict", "demo", "export", "report")
LAYERS = [
    {"errors", "config", "seeds", "degradation.levels"},
    {
        "files",
        "manifest",
        "hardware",
        "plugins",
        "images",
        "metrics",
        "progress",
        "schedules",
        "stage",
        "runs",
    },
    {"reporting.sheet"},
    {"sources", "degradation", "pairs"},
    {"enhancement", "refinement"},
    {"chain", "restoration"},
    {"evaluation"},
    {"demonstration", "exporting", "reporting", "sweeps"},
    {"enhancer_training", "training", "identity", "schemas"},
    {"job", "hints", "__main__", *JOBS},
]
"""From the bottom up: a module imports its own layer and those below."""
COMPOSED_BY_HYDRA = LAYERS[-2:]
LIGHTNING = {
    "pairs/datamodule.py",
    "training/adversarial.py",
    "refinement/module.py",
    "training/callbacks.py",
    "training/dashboards.py",
    "training/interruption.py",
    "training/loggers.py",
    "enhancer_training/module.py",
    "training/run.py",
    "enhancer_training/recipe.py",
}


def imports(file: Path) -> set[str]:
    """Return the modules a file imports, anywhere in it, except for types alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py" or path.parent != PACKAGE]


def layer_of(module: str) -> int:
    """Return the layer of a module such as `reporting.sheet`, by itself where it has one, else that of its room."""
    names = (module, module.split(".", maxsplit=1)[0])
    return next(number for name in names for number, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("file", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(file):
    inside = str(file.relative_to(PACKAGE))
    own = layer_of(inside.removesuffix(".py").replace("/", "."))
    found = imports(file)
    for name in found:
        if name.startswith("jewelenh."):
            assert layer_of(name.removeprefix("jewelenh.")) <= own, f"{inside} imports {name}"
    if LAYERS[own] not in COMPOSED_BY_HYDRA and inside != "plugins.py":  # which makes parts with Hydra's instantiate
        assert not any(name.split(".")[0] in {"hydra", "omegaconf"} for name in found), inside
    if inside not in LIGHTNING:
        assert not any(name.split(".")[0] == "pytorch_lightning" for name in found), inside


PROBE = """
import sys
sys.argv = {argv!r}
try:
    from jewelenh.{job} import main
    main()
except SystemExit as ended:
    code = ended.code or 0
else:
    code = 0
heavy = {{"torch", "cv2", "albumentations", "pytorch_lightning", "wandb", "gradio", "onnxruntime"}} & set(sys.modules)
print("CODE", code, "HEAVY", sorted(heavy))
"""


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("argument", "code", "word"),
    [("--help", 0, "Groups"), ("seeed=1", 2, "Did you mean seed?"), ("+experiment=foldr", 2, "")],
)
def test_help_and_errors_answer_without_heavy_imports(job, argument, code, word, tmp_path):
    probe = PROBE.format(argv=["jewelenh", argument], job=job)
    ended = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, env={**os.environ}, check=False
    )
    assert f"CODE {code} HEAVY []" in ended.stdout, ended.stdout + ended.stderr
    assert word in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


COUNTED = """
import contextlib, cProfile, sys
sys.argv = ["jewelenh", "--help"]
from jewelenh.train import main
profile = cProfile.Profile()
with contextlib.suppress(SystemExit):
    profile.runcall(main)
n_calls = sum(entry.callcount for entry in profile.getstats())
print("CALLS", n_calls, sorted({"pydantic", "filelock"} & set(sys.modules)))
"""


def test_help_composes_once_and_checks_nothing(tmp_path):
    """Hydra copied all of its sources for each group, twice: 3.3 million calls, 1.2 million without the copies."""
    command = [sys.executable, "-c", COUNTED]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    _, n_calls, imported = said.splitlines()[-1].split(maxsplit=2)
    assert int(n_calls) < 1_800_000
    assert imported == "[]"
