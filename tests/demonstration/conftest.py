"""A session, a checkpoint for it, and a way to drop a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from demo_parts import MODERATE, write_checkpoint

from jewelenh.config import Limits
from jewelenh.demonstration.checkpoints import Trained, find_trained
from jewelenh.demonstration.session import Session, Upload, read_upload


@pytest.fixture
def checkpoint(tmp_path, tiny_weights) -> Path:
    return write_checkpoint(tmp_path / "outputs/train/run/checkpoints/best.ckpt", tiny_weights)


@pytest.fixture
def trained(checkpoint, tmp_path) -> Trained:
    return find_trained(tmp_path / "outputs")[0]


@pytest.fixture
def session(tmp_path) -> Session:
    return Session({"moderate": MODERATE}, 42, tmp_path / "results")


@pytest.fixture
def upload(tmp_path):
    def upload(name: str, data: bytes, limits: Limits | None = None) -> Upload:
        file = tmp_path / "uploads" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        return read_upload(file, limits or Limits())

    return upload
