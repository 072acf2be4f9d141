"""Tiny networks with random weights in the files' own formats, and stages of photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from esrgan_parts import compact_state, rrdb_state
from safetensors.torch import save_file

from jewelenh.config import Enhancer, Hardware
from jewelenh.manifest import sha256_of
from jewelenh.stage import Selection, open_stage


@pytest.fixture
def compact_file(tmp_path: Path) -> Path:
    """A .pth as Real-ESRGAN publishes them: the state under `params`."""
    file = tmp_path / "weights" / "tiny_compact.pth"
    file.parent.mkdir(exist_ok=True)
    torch.save({"params": compact_state()}, file)
    return file


@pytest.fixture
def rrdb_file(tmp_path: Path) -> Path:
    file = tmp_path / "weights" / "tiny_rrdb.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_file(rrdb_state(), file)
    return file


@pytest.fixture
def enhancer(compact_file: Path) -> Enhancer:
    return Enhancer(name="tiny", weights=compact_file)


@pytest.fixture
def hardware() -> Hardware:
    return Hardware(device="cpu", precision="fp32")


PhotoStage = Callable[[Mapping[str, bytes]], Selection]


@pytest.fixture
def photo_stage(tmp_path: Path) -> PhotoStage:
    """Make (or extend) a stage of photo files, stem to content, as the stage before would have written it."""

    def make(photos: Mapping[str, bytes]) -> Selection:
        with open_stage(tmp_path / "data" / "raw", "drawn", "raw", {"drawn": 1}) as stage:
            for stem, data in photos.items():
                stage.save(stem, sha256_of(data), {"image": (stem, data)}, {"photo": stem, "variant": 0})
            return stage.commit(list(photos))

    return make
