"""Every job end to end on drawn photos, as a user types it, and what it says when something is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from omegaconf import OmegaConf
from tests_drawn import chain_overrides

from jewelenh.pairs.contract import read_pairs
from jewelenh.refinement.checkpoint import Geometry, read_checkpoint


def train(run_job, photos, tiny_weights, *overrides, flags=()):
    return run_job(
        "train",
        *flags,
        "+experiment=mild",
        *chain_overrides(photos, tiny_weights),
        "data.crop=32",
        "data.batch_size=4",
        "data.crops_per_photo=2",
        "data.eval_crop=null",
        "model.network.features=4",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        *overrides,
    )


def newest(folder: Path, name: str) -> Path:
    return max(folder.rglob(name), key=lambda path: path.stat().st_mtime_ns)


def test_the_stage_jobs_make_what_is_missing_and_skip_the_rest(run_job, photos, tiny_weights, tmp_path):
    overrides = chain_overrides(photos, tiny_weights)
    for job, stage in [("fetch", "raw"), ("degrade", "degraded"), ("enhance", "enhanced"), ("pair", "pairs")]:
        outcome = run_job(job, *overrides)
        assert outcome.code == 0, outcome.err
        assert list((tmp_path / "data" / stage).glob("*/manifest.json"))
    again = run_job("pair", *overrides)
    assert again.code == 0
    assert "fetch: 0 made, 12 there" in again.err
    assert "degrade mild: 0 made, 12 there" in again.err
    assert "enhance raw: 0 made, 12 there" in again.err
    more = run_job("pair", *overrides, "source.limit=6")
    assert "enhance mild: 0 made, 6 there" in more.err, "fewer photos are among those that are there"


def test_ten_more_photos_are_all_that_is_made(run_job, photos, tiny_weights):
    overrides = chain_overrides(photos, tiny_weights)
    assert run_job("pair", *overrides, "source.limit=5").code == 0
    more = run_job("pair", *overrides, "source.limit=8")
    assert "degrade mild: 3 made, 5 there" in more.err
    assert "enhance mild: 3 made, 5 there" in more.err
    assert "enhance raw: 3 made, 5 there" in more.err


@pytest.mark.slow
def test_train_evaluate_predict(run_job, photos, tiny_weights, tmp_path):
    outcome = train(run_job, photos, tiny_weights)
    assert outcome.code == 0, outcome.err
    assert "PSNR (dB)" in outcome.out and "95 % interval" in outcome.out
    run = newest(tmp_path / "outputs", "metrics.json").parent
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["photos"] and metrics["protocol"]["aggregation"].startswith("per photo")
    assert set(metrics["summary"]) >= {"psnr_db", "ssim", "ciede2000"}
    assert cv2.imread(str(run / "comparison.png")).shape[1] > 5 * 256
    assert torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["jewelenh"]["network"]["_target_"]
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert list(run.rglob("*.wandb")) and list(run.rglob("events.out.tfevents.*")) and list(run.rglob("metrics.csv"))
    assert "val/psnr_db" in (run / "csv" / "metrics.csv").read_text()

    scored = run_job("evaluate", "checkpoint=latest")
    assert scored.code == 0, scored.err
    again = json.loads(newest(tmp_path / "outputs" / "evaluate", "metrics.json").read_text())
    assert again["summary"] == metrics["summary"], "a test in train and evaluate agree exactly"
    assert again["photos"] == metrics["photos"]

    restored = run_job("predict", f"input={photos}", "output=restored", "stages=true")
    assert restored.code == 0, restored.err
    files = sorted(path.relative_to(tmp_path / "restored") for path in (tmp_path / "restored").rglob("*.png"))
    assert len(files) == 24 and Path("rings/p01.png") in files and Path("rings/p01_enhanced.png") in files
    assert cv2.imread(str(tmp_path / "restored/rings/p01.png")).shape == (192, 192, 3)
    assert "0 made, 12 there already" in run_job("predict", f"input={photos}", "output=restored", "stages=true").err


@pytest.mark.slow
def test_a_sweep_makes_one_run_each(run_job, photos, tiny_weights, tmp_path):
    small = ["data.crops_per_photo=1", "trainer.max_epochs=1", "logger=csv", "seed=1,2"]
    outcome = train(run_job, photos, tiny_weights, *small, flags=["-m"])
    assert outcome.code == 0, outcome.err
    runs = sorted((tmp_path / "outputs" / "train").glob("*/metrics.json"))
    assert [run.parent.name.rpartition("-")[0] for run in runs] == ["mild-seed1", "mild-seed2"]


@pytest.mark.slow
def test_resume_goes_on_where_the_last_checkpoint_is(run_job, photos, tiny_weights, tmp_path):
    whole = train(run_job, photos, tiny_weights, "trainer.max_epochs=3", "logger=csv", "trainer.precision=32-true")
    assert whole.code == 0, whole.err
    expected = torch.load(newest(tmp_path / "outputs", "last.ckpt"), weights_only=True)
    half = train(
        run_job, photos, tiny_weights, "trainer.max_epochs=3", "logger=csv", "trainer.precision=32-true",
        "+callbacks.stop._target_=stopping.TerminateAt", "+callbacks.stop.step=8", "paths.output_dir=half",
    )  # fmt: skip
    assert half.code == 143, half.err
    rest = train(
        run_job, photos, tiny_weights, "trainer.max_epochs=3", "logger=csv", "trainer.precision=32-true",
        "ckpt_path=latest", "paths.output_dir=half",
    )  # fmt: skip
    assert rest.code == 0, rest.err
    resumed = torch.load(newest(tmp_path / "half", "last.ckpt"), weights_only=True)
    assert resumed["global_step"] == expected["global_step"]
    for name, value in expected["state_dict"].items():
        assert torch.allclose(resumed["state_dict"][name], value, atol=1e-6), name


def test_photos_too_small_for_the_pairs_are_said(run_job, photos, tiny_weights):
    outcome = run_job("pair", *chain_overrides(photos, tiny_weights), "pairs.size=256")
    assert outcome.code == 1
    assert "12 of 12 failed" in outcome.err and "smaller than the pairs" in outcome.err


def test_one_broken_photo_among_good_ones(run_job, photos, tiny_weights, tmp_path):
    (photos / "broken.jpg").write_bytes(b"no picture")
    overrides = chain_overrides(photos, tiny_weights)
    outcome = run_job("pair", *overrides)
    assert outcome.code == 1
    assert "1 of 13 failed" in outcome.err and "broken.jpg" in outcome.err and "on_error=skip" in outcome.err
    assert "Traceback" not in outcome.err
    outcome = run_job("pair", *overrides, "on_error=skip")
    assert outcome.code == 0, outcome.err
    pairs = read_pairs(next((tmp_path / "data/pairs").iterdir()))
    assert len(pairs.pairs) == 12


@pytest.mark.parametrize(
    ("job", "overrides", "code", "words"),
    [
        ("fetch", ["source=folder", "source.root=nowhere"], 1, ["not there", "source.root=", "nowhere"]),
        ("fetch", ["source=folder", "source.root=."], 1, ["No photos were found", "source.extensions"]),
        ("fetch", ["source=folder"], 2, ["source.root=<folder of photos>"]),
        ("train", ["+experiment=mil"], 2, ["experiment/mil", "Did you mean mild?"]),
        ("degrade", ["degradation=sever"], 2, ["Did you mean severe?"]),
        ("degrade", ["degradation.blurr.probability=1"], 2, ["no key degradation.blurr.probability", "Did you mean"]),
        ("degrade", ["degradation.blur.probability=1.4"], 2, ["blur.probability = 1.4", "from 0 to 1"]),
        ("degrade", ["+degradation.blur.speed=1"], 2, ["degradation.blur.speed: there is no such key"]),
        ("enhance", ["enhancer.weights=missing.pth", "source.limit=1"], 1, ["missing.pth"]),
        ("train", ["data.crop=0", "source.limit=3"], 2, ["data.crop = 0"]),
        ("evaluate", ["checkpoint=none.ckpt"], 1, ["no such checkpoint"]),
        ("evaluate", ["split=tset"], 2, ["'train', 'val' or 'test'", "Did you mean test?"]),
        ("predict", [], 2, ["input is needed"]),
        ("fetch", ["paths.output_dir=/dev/null/x"], 1, ["Not a directory", "paths.output_dir"]),
        ("fetch", ["paths.data_dir=/dev/null/x"], 1, ["paths.data_dir"]),
    ],
)
def test_every_wrong_input_is_one_message(run_job, job, overrides, code, words):
    outcome = run_job(job, *overrides)
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_debug_shows_the_traceback(run_job):
    assert "Traceback" in run_job("fetch", "source=folder", "source.root=nowhere", "debug=true").err


def test_a_checkpoint_of_another_network_is_said(run_job, tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "other.ckpt")
    outcome = run_job("predict", f"input={tmp_path}", "output=out", "checkpoint=other.ckpt")
    assert outcome.code == 1 and "not written by jewelenh.train" in outcome.err


def test_predicting_into_the_input_folder_is_refused(run_job, photos, tiny_weights, tmp_path):
    from jewelenh.config import Enhancer
    from jewelenh.errors import ConfigError
    from jewelenh.refinement.networks import RefinementCNN
    from jewelenh.restoration.prediction import predict
    from jewelenh.restoration.restorer import Restorer
    from jewelenh.restoration.results import Output

    restorer = Restorer(RefinementCNN(4), Enhancer(name="tiny", weights=tiny_weights))
    with pytest.raises(ConfigError, match="lies inside it"):
        predict(restorer, "id", photos, photos / "out", Output(), [".png"])


def test_jobs_run_as_modules_and_from_any_directory(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "jewelenh.fetch", "source.limit=3"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "fetch: 3 made" in ended.stderr
    assert (tmp_path / "data" / "raw").is_dir()


@pytest.mark.parametrize("override", ["+experimnt=severe", "experiment=sever", "+experiment=sever"])
def test_a_misspelt_experiment_trains_nothing(run_job, override, tmp_path):
    outcome = run_job("train", override)
    assert outcome.code == 2 and "Did you mean" in outcome.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("plus", ["", "+"])
def test_an_experiment_is_chosen_with_and_without_a_plus(run_job, plus):
    outcome = run_job("train", f"{plus}experiment=severe", "--cfg", "job")
    assert outcome.code == 0 and "experiment: severe" in outcome.out and "name: severe" in outcome.out


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.loss.l1_weight=-1", ["model.loss", "l1_weight"]),
        ("model.optimizer.lr=-1", ["model.optimizer", "-1"]),
        ("data.batch_size=2.5", ["data.batch_size = 2.5"]),
        ("data.crop=x", ["data.crop = 'x'"]),
        ("trainer.max_epochs=abc", ["trainer.max_epochs = 'abc'"]),
        ("trainer.max_epochs=0", ["max_epochs of 1 or more"]),
        (
            "trainer.max_epoch=3",
            ["Could not override|no key trainer.max_epoch", "Did you mean", "+trainer.max_epoch=3"],
        ),
        ("+trainer.max_epoch=3", ["trainer.max_epoch", "Did you mean max_epochs?"]),
        ("model.network.features=abc", ["model.network.features = 'abc'"]),
        ("seed=99999999999", ["seed = 99999999999"]),
        ("source.limit=true", ["source.limit = True"]),
    ],
)
def test_a_wrong_value_stops_training_before_any_work(run_job, tmp_path, override, words):
    outcome = run_job("train", override, "logger=all")
    assert outcome.code == 2, outcome.err
    assert "fault of jewelenh" not in outcome.err
    for word in words:
        assert any(part in outcome.err for part in word.split("|")), outcome.err
    assert not (tmp_path / "data").exists() and not list(tmp_path.rglob("*.wandb"))


def test_photos_that_are_not_there_are_said_before_a_dashboard_hears_of_the_run(run_job, tmp_path):
    outcome = run_job("train", "source=folder", "source.root=nowhere", "logger=all")
    assert outcome.code == 1 and "not there" in outcome.err
    assert not list(tmp_path.rglob("*.wandb")) and not list(tmp_path.rglob("events.out*"))


@pytest.mark.parametrize(
    ("error", "code", "word"), [(KeyboardInterrupt(), 130, "Interrupted"), (SystemExit(143), 143, "Terminated")]
)
def test_a_training_that_is_stopped_while_it_prepares_says_so(run_job, monkeypatch, tmp_path, error, code, word):
    def stop(self):
        raise error

    monkeypatch.setattr("jewelenh.chain.Chain.pair", stop)
    outcome = run_job("train", "logger=csv", "trainer.accelerator=cpu")
    assert outcome.code == code and word in outcome.err and "is kept" in outcome.err
    [run] = (tmp_path / "outputs" / "train").iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "stopped"


def test_the_configuration_of_a_training_is_shown_and_kept(run_job, monkeypatch, tmp_path):
    monkeypatch.setattr("jewelenh.chain.Chain.pair", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    outcome = run_job("train", "experiment=severe", "logger=csv", "trainer.accelerator=cpu", "data=crops")
    assert "degradation" in outcome.err and len(outcome.err.splitlines()) < 40
    [run] = (tmp_path / "outputs" / "train").iterdir()
    kept = OmegaConf.load(run / "config.yaml")
    assert kept.experiment == "severe" and kept.data.crop == 128, "what is typed stands, without a GPU too"


@pytest.mark.slow
def test_one_network_for_all_levels_before_the_enhancer(run_job, photos, tiny_weights, tmp_path):
    chosen = ["experiment=all", "model.placement=before", "~degradation.levels.study", "trainer.max_epochs=1"]
    outcome = train(run_job, photos, tiny_weights, *chosen)
    assert outcome.code == 0, outcome.err
    (directory,) = (tmp_path / "data" / "pairs").iterdir()
    levels = {pair.level for pair in read_pairs(directory).pairs}
    assert levels == {"mild", "moderate", "severe", "none"}
    checkpoint = read_checkpoint(newest(tmp_path, "best.ckpt"))
    assert checkpoint.geometry == Geometry("before") and checkpoint.level == "all"
