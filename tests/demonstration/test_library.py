"""The README's Python lines are true: they run as written, the types are those, and a photo comes back as said."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from demo_parts import draw_ring
from strange_photos import GOOD

import jewelenh
from jewelenh.errors import CheckpointError
from jewelenh.images import Photo, decode

REPO = Path(__file__).resolve().parents[2]
(BLOCK,) = re.findall(r"```python\n(.*?)```", (REPO / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def run_readme(checkpoint: Path, image: object) -> object:
    lines = re.sub(r'"outputs/[^"]*"', repr(str(checkpoint)), BLOCK)
    assert lines != BLOCK
    names = {"image": image}
    exec(lines, names)
    return names["restored"]


@pytest.mark.parametrize("size", [(48, 48), (7, 31), (1, 1), (130, 600)])
def test_the_readmes_lines_restore_an_array_of_any_size(checkpoint, size):
    image = draw_ring(1, *size)
    restored = run_readme(checkpoint, image)
    assert isinstance(restored, np.ndarray)
    assert restored.shape == (4 * size[0], 4 * size[1], 3) and restored.dtype == np.uint8
    assert np.array_equal(restored, run_readme(checkpoint, image)), "the same every time"


def test_the_readmes_lines_restore_a_photo_with_all_it_carries(checkpoint):
    photo = decode(GOOD["rotated.jpg"])
    restored = run_readme(checkpoint, photo)
    assert isinstance(restored, Photo)
    assert restored.size == (80, 48) and restored.icc == photo.icc != None and restored.exif == photo.exif != None  # noqa: E711


def test_three_lines_are_enough():
    assert len([line for line in BLOCK.splitlines() if line.strip()]) == 3


def test_what_is_no_checkpoint_is_said(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"x" * 100)
    for path in (tmp_path / "a.ckpt", tmp_path / "none.ckpt"):
        with pytest.raises(CheckpointError, match=path.name):
            jewelenh.Restorer.from_checkpoint(path)


def test_the_package_says_that_it_is_typed_and_imports_nothing_heavy_by_itself():
    assert (Path(jewelenh.__file__).parent / "py.typed").is_file()
    probe = "import sys, jewelenh; print(sorted({'torch', 'cv2', 'gradio', 'numpy'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'Restore'"):
        _ = jewelenh.Restore  # type: ignore[attr-defined]


@pytest.mark.slow
def test_type_checkers_know_what_comes_back(tmp_path):
    pytest.importorskip("mypy")
    code = tmp_path / "code.py"
    code.write_text(
        "import numpy as np\nfrom jewelenh import Restorer\nfrom jewelenh.images import Photo\n"
        "restorer = Restorer.from_checkpoint('a.ckpt')\n"
        "reveal_type(restorer.restore(np.zeros((2, 2, 3), np.uint8)))\n"
        "reveal_type(restorer.restore(Photo(np.zeros((2, 2, 3), np.uint8)), strength=0.5))\n"
        "restorer.restore(3)\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", str(code)]
    ended = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    revealed = re.findall(r'Revealed type is "(.*)"', ended.stdout)
    assert len(revealed) == 2, ended.stdout + ended.stderr
    assert "ndarray" in revealed[0] and "Photo" in revealed[1]
    assert "code.py:7: error" in ended.stdout
