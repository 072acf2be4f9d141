"""Drawn photos, a tiny super-resolution network, and a way to run jobs as a user types them."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("HYDRA_FULL_ERROR", "1")

import cv2
import numpy as np
import pytest

REPO = Path(__file__).resolve().parent.parent


def draw_ring(number: int, height: int = 48, width: int = 48) -> np.ndarray:
    """Return a drawn ring on white, (H, W, 3) uint8: an ellipse of metal with a stone, different for every number."""
    rng = np.random.default_rng(number)
    image = np.full((height, width, 3), 250, np.uint8)
    centre = (width // 2 + int(rng.integers(-4, 5)), height // 2 + int(rng.integers(-4, 5)))
    axes = (int(rng.integers(width // 6, width // 3)), int(rng.integers(height // 6, height // 3)))
    metal = [(212, 175, 55), (192, 192, 200), (183, 110, 121)][number % 3]
    cv2.ellipse(image, centre, axes, float(rng.integers(0, 180)), 0, 360, metal, 4, cv2.LINE_AA)
    stone = tuple(int(v) for v in rng.integers(0, 200, 3))
    cv2.circle(image, (centre[0], centre[1] - axes[1]), 4 + number % 3, stone, -1, cv2.LINE_AA)
    return image


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep device locks and temporary files of the tests apart from those of work under way on this machine."""
    folder = tmp_path_factory.mktemp("t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of twelve drawn photos in two sub-folders."""
    root = tmp_path / "photos"
    for number in range(12):
        folder = root / ("rings" if number % 2 else "necklaces")
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"p{number:02d}.png"), draw_ring(number)[..., ::-1])
    return root


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An x4 SRVGGNetCompact of 8 features and 2 convolutions with random weights, as a .pth file."""
    import torch
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(3)
    network = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4, act_type="prelu")
    file = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save({"params": network.state_dict()}, file)
    return file


@dataclass
class Outcome:
    """How a job ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_job(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Run a job in this process as `python -m jewelenh.<job> <overrides>`, in an empty current directory."""
    monkeypatch.chdir(tmp_path)

    def run(job: str, *overrides: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", [f"jewelenh.{job}", *overrides])
        capfd.readouterr()
        code = 0
        try:
            importlib.import_module(f"jewelenh.{job}").main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos and weights, where there is one."""
    place = os.environ.get("JEWELENH_SHARED")
    if not place:
        pytest.skip("JEWELENH_SHARED names no folder with photos/ and weights/")
    return Path(place)
