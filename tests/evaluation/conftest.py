"""Pairs of drawn photos on which what an evaluation should find is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_scores import drawn

from jewelenh.pairs.contract import PairsManifest


@pytest.fixture(scope="session")
def drawn_pairs_of_32(tmp_path_factory: pytest.TempPathFactory) -> PairsManifest:
    """Twenty-four photos of 32 pixels, one of them in three versions; their names hold what HTML must not."""
    return drawn(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="session")
def checkpoints_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for runs that the tests of a session share."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run_job(run_job):
    """Run a job that may import the network of these tests."""
    return lambda job, *overrides, **more: run_job(job, "trust=[drawn_scores]", *overrides, **more)
