"""Pairs of drawn photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_pairs import Upstream, drawn_photo, small_pairs

from jewelenh.pairs.contract import PairsManifest


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """Twelve photos, two of them in three versions."""
    made = Upstream(tmp_path / "upstream")
    for number in range(12):
        made.photo(f"rings/ring_{number:02d}.jpg", drawn_photo(number), variants=3 if number in {3, 7} else 1)
    return made


@pytest.fixture
def written(upstream: Upstream, tmp_path: Path) -> PairsManifest:
    """The pairs of `upstream` in float32."""
    return upstream.write(tmp_path / "data")


@pytest.fixture
def write_as(upstream: Upstream, tmp_path: Path) -> Callable[..., PairsManifest]:
    """The pairs of `upstream` with other settings."""
    return lambda **options: upstream.write(tmp_path / "data", small_pairs(**options))
