"""`train model=esrgan`: it learns, exports what the enhancer loads, resumes, and says what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jewelenh.config import Enhancer
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.images import Photo

TINY = (
    "model=esrgan", "model.network.features=8", "model.network.convs=2", "model.data.patch=12",
    "model.data.batch_size=4", "model.data.steps_per_epoch=15", "model.data.val_share=0.25", "trainer.max_epochs=2",
    "logger=csv", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
)  # fmt: skip


@pytest.fixture
def renders(tmp_path: Path) -> Path:
    """Eight high-resolution photos of 96 pixels: dark lines on white, at every angle."""
    root = tmp_path / "renders"
    root.mkdir()
    for number in range(8):
        rng = np.random.default_rng(number)
        picture = np.full((96, 96, 3), 255, np.uint8)
        for _ in range(6):
            ends = rng.integers(0, 96, 4)
            cv2.line(picture, tuple(map(int, ends[:2])), tuple(map(int, ends[2:])), (40, 60, 90), 3, cv2.LINE_AA)
        assert cv2.imwrite(str(root / f"r{number}.png"), picture)
    return root


def train(run_job, renders: Path, *overrides: str):
    return run_job("train", *TINY, "source=folder", f"source.root={renders}", *overrides)


def newest(root: Path, name: str) -> Path:
    return max(root.rglob(name), key=lambda path: path.stat().st_mtime_ns)


def test_it_trains_exports_and_its_file_is_an_enhancer(run_job, renders, tmp_path):
    longer = ("model.data.steps_per_epoch=40", "model.data.batch_size=8", "model.network.features=16")
    outcome = train(
        run_job, renders, "model.data.clean=1.0", "model.optimizer.lr=4e-3", "trainer.max_epochs=4", *longer
    )
    assert outcome.code == 0, outcome.err
    run = newest(tmp_path / "outputs", "metrics.json").parent
    content = json.loads((run / "metrics.json").read_text())
    clean = content["means"]["clean"]
    assert clean["network"]["psnr_db"] > clean["bicubic"]["psnr_db"] + 0.2, "lines are learnt in seconds"
    assert len(content["photos"]) == 2 and "2 held-out photos" in outcome.out
    picture = cv2.imread(str(run / "comparison.png"))
    assert picture.shape[1] > 3 * 256
    state = load_file(str(run / "network.safetensors"))
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert all(torch.equal(best["state_dict"][f"network.{name}"], value) for name, value in state.items())
    upscaler = Upscaler.load(Enhancer(name="mine", weights=run / "network.safetensors"))
    enlarged = upscaler.upscale(Photo(np.full((20, 24, 3), 255, np.uint8)))
    assert enlarged.size == (80, 96) and np.abs(enlarged.pixels.astype(int) - 255).max() <= 6, "white stays white"


def test_fine_tuning_starts_from_a_file(run_job, renders, tiny_weights, tmp_path):
    outcome = train(run_job, renders, f"model.network.weights={tiny_weights}", "model.optimizer.lr=1e-9")
    assert outcome.code == 0, outcome.err
    state = load_file(str(newest(tmp_path / "outputs", "network.safetensors")))
    given = torch.load(tiny_weights, weights_only=True)["params"]
    assert all(torch.allclose(state[name], value, atol=1e-5) for name, value in given.items())


def test_resume_gives_what_an_unbroken_run_gives(run_job, renders, tmp_path):
    exact = ("trainer.precision=32-true", "model.data.steps_per_epoch=4")
    assert train(run_job, renders, *exact, "trainer.max_epochs=3").code == 0
    expected = torch.load(newest(tmp_path / "outputs", "last.ckpt"), weights_only=True)
    stop = ("+callbacks.stop._target_=stopping.TerminateAt", "+callbacks.stop.step=8")
    part = train(run_job, renders, *exact, "trainer.max_epochs=3", *stop, "paths.output_dir=part")
    assert part.code == 143, part.err
    rest = train(run_job, renders, *exact, "trainer.max_epochs=3", "resume=latest", "paths.output_dir=part")
    assert rest.code == 0, rest.err
    resumed = torch.load(newest(tmp_path / "part", "last.ckpt"), weights_only=True)
    assert resumed["global_step"] == expected["global_step"] == 12
    for name, value in expected["state_dict"].items():
        assert torch.allclose(resumed["state_dict"][name], value, atol=1e-6), name


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        (("model.data.patch=48",), 2, "smaller than what model.data.patch needs"),
        (("source.limit=1",), 1, "too few photos"),
        (("model.network.weights=missing.pth",), 1, "cannot be read"),
        (("model.data.patchh=3",), 2, "patchh"),
        (("model.network.scale=5",), 2, "model.network.scale"),
        (("model.data.test_root=nowhere", "model.data.steps_per_epoch=1", "trainer.max_epochs=1"), 1, "nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_message(run_job, renders, overrides, code, words):
    outcome = train(run_job, renders, *overrides)
    assert outcome.code == code, outcome.err
    assert words in outcome.err and "Traceback" not in outcome.err


@pytest.mark.slow
def test_a_trained_network_goes_on_against_a_discriminator(run_job, renders, tmp_path):
    first = train(run_job, renders)
    assert first.code == 0, first.err
    begun = newest(tmp_path / "outputs", "network.safetensors")
    names = {name: value.clone() for name, value in load_file(begun).items()}
    second = train(
        run_job, renders, "model=esrgan_adversarial", f"model.network.weights={begun}", "model.data.patch=16",
        "model.opponent.settings.delay_steps=5", "model.opponent.discriminator.features=8",
    )  # fmt: skip
    assert second.code == 0, second.err
    assert "clipped by model.opponent.settings.gradient_clip" in second.err, "the trainer's clipping gave way aloud"
    made = newest(tmp_path / "outputs", "network.safetensors")
    assert made != begun
    after = load_file(made)
    assert set(after) == set(names), "the discriminator is no part of the network"
    assert any(not torch.equal(after[name], value) for name, value in names.items())
    curves = newest(tmp_path / "outputs", "metrics.csv").read_text().splitlines()
    assert {"train/adversarial", "train/discriminator", "train/discriminator_accuracy", "train/pixels"} <= set(
        curves[0].split(",")
    )
