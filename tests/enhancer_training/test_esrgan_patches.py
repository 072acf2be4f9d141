"""Patches: aligned, drawn by name, clean or degraded by share; photos are divided by their own hashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from jewelenh.config import PatchData, parse
from jewelenh.degradation.levels import Degradation
from jewelenh.enhancer_training.data import (
    HeldOutPhotos,
    Patches,
    PhotoCache,
    centre,
    hold_out,
    require_sides,
    smaller,
)
from jewelenh.errors import ConfigError, SourceError
from jewelenh.job import CONF_DIR
from jewelenh.pairs.dataset import EpochSampler


def level(name: str = "mild") -> Degradation:
    values = OmegaConf.to_container(OmegaConf.load(CONF_DIR / "degradation" / f"{name}.yaml"))
    assert isinstance(values, dict)
    return parse(Degradation, {str(key): value for key, value in values.items()}, "degradation")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three photos of 70x60 whose pixels tell where they are."""
    rows, columns = np.mgrid[0:70, 0:60]
    made = []
    for number in range(3):
        picture = np.stack([rows * 3, columns * 4, np.full_like(rows, 60 * number)], axis=-1).astype(np.uint8)
        made.append(tmp_path / f"p{number}.png")
        assert cv2.imwrite(str(made[-1]), picture[..., ::-1])
    return made


def patches(files: list[Path], **values: object) -> Patches:
    settings = PatchData(**{"patch": 8, "batch_size": 2, "steps_per_epoch": 3, **values})  # type: ignore[arg-type]
    return Patches(PhotoCache(files, 2**20), level(), settings, 4, seed=5)


def test_a_clean_patch_is_the_exact_average_of_its_photo(files):
    dataset = patches(files, clean=1.0, downscales=("area",))
    for index in range(6):
        pair = dataset[0, index]
        assert pair["low"].shape == (3, 8, 8) and pair["high"].shape == (3, 32, 32)
        averages = torch.nn.functional.avg_pool2d(pair["high"].float(), 4)
        assert (averages - pair["low"]).abs().max() <= 0.5


def test_the_same_key_gives_the_same_patch_and_another_epoch_another(files):
    first, again = patches(files, clean=0.0), patches(files, clean=0.0)
    assert all(torch.equal(first[3, i][name], again[3, i][name]) for i in range(4) for name in ("low", "high"))
    assert not torch.equal(first[0, 0]["high"], first[1, 0]["high"])


def test_degraded_patches_have_the_clean_target(files):
    clean, degraded = patches(files, clean=1.0), patches(files, clean=0.0)
    for index in range(6):
        assert torch.equal(clean[0, index]["high"], degraded[0, index]["high"])
        assert not torch.equal(clean[0, index]["low"], degraded[0, index]["low"])


def test_the_share_of_clean_patches_is_kept(files):
    half, clean = patches(files, clean=0.5), patches(files, clean=1.0)
    n_clean = sum(torch.equal(half[0, i]["low"], clean[0, i]["low"]) for i in range(200))
    assert 70 <= n_clean <= 130  # binomial, 200 draws of 0.5: 4 standard deviations are 28


def test_no_degradation_moves_the_colours(tmp_path):
    """A level that always shifts the colours leaves a grey photo grey: the rest of it is noise, blur and JPEG."""
    assert cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 128, np.uint8))
    shifting = level()
    shifting = replace(shifting, colour=replace(shifting.colour, probability=1.0, temperature=(60, 60)))
    _, low, degraded = HeldOutPhotos(PhotoCache([tmp_path / "grey.png"], 0), shifting, None, 4, seed=1).pixels(0)
    assert not np.array_equal(low, degraded)
    assert np.abs(degraded.mean((0, 1)) - 128).max() < 3


def test_bicubic_averages_over_all_pixels():
    """A fine checkerboard becomes grey; a bicubic that skips pixels would keep black or white."""
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    assert np.abs(smaller(board, 4, "bicubic")[1:-1, 1:-1].astype(int) - 127).max() < 8


def test_photos_beyond_the_budget_are_read_again(files):
    photos = PhotoCache(files, budget_bytes=70 * 60 * 3)
    first = [photos[i].copy() for i in range(3)]
    for file in files[1:]:
        file.unlink()
    assert np.array_equal(photos[0], first[0])
    with pytest.raises(Exception, match="cannot be opened"):
        photos[1]


def test_ranks_share_an_epoch(files):
    dataset = patches(files)
    keys = []
    for rank in range(2):
        sampler = EpochSampler(dataset, num_replicas=2, rank=rank, shuffle=False)
        sampler.set_epoch(4)
        keys.append(list(sampler))
    assert sorted(keys[0] + keys[1]) == [(4, i) for i in range(6)]


def test_centre_keeps_multiples():
    picture = np.arange(70 * 61 * 3).reshape(70, 61, 3)
    assert centre(picture, None, 4).shape == (68, 60, 3)
    assert np.array_equal(centre(picture, 16, 4), picture[27:43, 22:38])


def test_small_photos_are_named(files):
    require_sides(PhotoCache(files, 0), 60, "model.data.patch")
    with pytest.raises(ConfigError, match=r"3 of 3(.|\n)*p0.png 60x70"):
        require_sides(PhotoCache(files, 0), 61, "model.data.patch")


def test_hold_out_is_stable_when_photos_are_added():
    stems = [f"p{i}" for i in range(40)]
    train, val = hold_out(stems, 0.1, 7)
    assert len(val) == 4 and not set(train) & set(val) and sorted(train + val) == sorted(stems)
    more_val = hold_out([*stems, "new"], 0.1, 7)[1]
    assert len(set(val) & set(more_val)) >= 3
    assert hold_out(stems, 0.001, 7)[1], "at least one"


def test_one_photo_cannot_be_divided():
    with pytest.raises(SourceError, match="too few"):
        hold_out(["only"], 0.1, 7)
