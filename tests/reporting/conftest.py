"""Pairs of drawn photos for the pages."""

from __future__ import annotations

import pytest
from drawn_scores import drawn

from jewelenh.pairs.contract import PairsManifest


@pytest.fixture(scope="session")
def drawn_pairs_of_32(tmp_path_factory: pytest.TempPathFactory) -> PairsManifest:
    """Twenty-four photos of 32 pixels, one of them in three versions; their names hold what HTML must not."""
    return drawn(tmp_path_factory.mktemp("reporting"))
