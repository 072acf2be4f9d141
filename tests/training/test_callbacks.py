"""What is kept and said beside the steps: the best validation, the line of an epoch, the time left."""

import logging
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from jewelenh.errors import PrunedError
from jewelenh.training import callbacks as module
from jewelenh.training.callbacks import BestValidation, EpochLine, StopWhenHopeless


def validated(best, psnr_db, gain_db):
    metrics = {"val/psnr_db": torch.tensor(psnr_db), "val/gain_db": torch.tensor(gain_db), "train/loss": torch.ones(())}
    best.on_validation_end(SimpleNamespace(callback_metrics=metrics), None)


def test_a_trial_that_is_behind_the_others_is_stopped(tmp_path):
    optuna = pytest.importorskip("optuna")
    storage = f"sqlite:///{tmp_path}/s.db"
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for psnr_db in (30.0, 31.0):
        trial = study.ask()
        trial.report(psnr_db, 1)
        study.tell(trial, psnr_db)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    for psnr_db in (30.6, 30.4):
        callback = StopWhenHopeless(pruner, study.ask().number, storage, "s")
        seen = SimpleNamespace(
            callback_metrics={"val/psnr_db": torch.tensor(psnr_db)}, current_epoch=0, is_global_zero=True
        )
        if psnr_db == 30.6:
            callback.on_train_epoch_end(seen, None)
        else:
            with pytest.raises(PrunedError, match=r"30\.40 after epoch 1"):
                callback.on_train_epoch_end(seen, None)
        assert study.trials[-1].intermediate_values == pytest.approx({1: psnr_db})
    StopWhenHopeless(pruner).on_train_epoch_end(seen, None)  # no search: nothing is reported


def test_the_best_validation_is_kept_through_a_resume():
    first = BestValidation()
    for psnr_db, gain_db in [(29.0, 0.5), (31.0, 2.0), (30.0, 9.0)]:
        validated(first, psnr_db, gain_db)
    assert first.numbers == {"val/psnr_db": 31.0, "val/gain_db": 2.0}
    second = BestValidation()
    second.load_state_dict(first.state_dict())
    validated(second, 30.5, 7.0)
    assert second.numbers["val/gain_db"] == 2.0
    validated(second, 31.5, 3.0)
    assert second.numbers == {"val/psnr_db": 31.5, "val/gain_db": 3.0}


class Clock(pl.Callback):
    """A clock that moves ten seconds an epoch, and no other time."""

    def __init__(self, monkeypatch):
        self.now_s = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now_s)

    def on_train_epoch_start(self, trainer, pl_module):
        self.now_s += 10


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch")]


def test_the_time_left_is_that_of_the_epochs_since_the_start_or_the_resume(run, tmp_path, monkeypatch, caplog):
    clock = Clock(monkeypatch)
    last = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    with caplog.at_level(logging.INFO, logger="jewelenh"):
        run([clock, last, EpochLine()], epochs=3).fit()
        clock.now_s += 5000  # between the two
        run([clock, EpochLine()], epochs=6).fit(tmp_path / "last.ckpt")
    assert [line.split()[1] for line in lines(caplog)] == ["1/3", "2/3", "3/3", "4/6", "5/6", "6/6"]
    assert [line.rsplit("  ", 1)[1] for line in lines(caplog)] == [
        f"{seconds} s left" for seconds in (20, 10, 0, 20, 10, 0)
    ]


def test_with_lightning_s_bar_there_are_no_lines(run, caplog):
    one = run([EpochLine()], epochs=1, enable_progress_bar=True)
    with caplog.at_level(logging.INFO, logger="jewelenh"):
        one.fit()
    assert not lines(caplog)
