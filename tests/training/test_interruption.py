"""A run that is stopped or crashes anywhere goes on to exactly the weights of one that was left alone."""

import errno
import os
import signal
import tempfile
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging

from jewelenh.errors import StageError, StoppedError
from jewelenh.plugins import build
from jewelenh.training.callbacks import warm_average
from jewelenh.training.interruption import AtomicCheckpointIO, SaveWhenStopped, usable_checkpoint

CONF = Path(__file__).resolve().parents[2] / "conf"


class At(pl.Callback):
    """Do something once, before the batch in which step `step` would be taken."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and self.action is not None:
            action, self.action = self.action, None
            action()


def kill(number):
    return lambda: os.kill(os.getpid(), number)


def crash():
    raise ZeroDivisionError("somebody's callback")


def callbacks(folder, *more):
    average = WeightAveraging(avg_fn=warm_average(0.9))
    best = ModelCheckpoint(folder, "best", "val/psnr_db", mode="max", enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False, save_on_train_epoch_end=True)
    return [average, best, last, *more, SaveWhenStopped(folder)]


@pytest.mark.parametrize(
    ("step", "action", "error", "saved_at"),
    [
        (1, kill(signal.SIGTERM), StoppedError, 2),
        (8, kill(signal.SIGINT), StoppedError, 9),
        (5, kill(signal.SIGTERM), StoppedError, 6),  # in the last batch of an epoch: after its validation
        (10, crash, ZeroDivisionError, 10),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(run, tmp_path, step, action, error, saved_at):
    expected = run(callbacks(tmp_path / "whole")).fit()
    with pytest.raises(error):
        run(callbacks(tmp_path / "part", At(step, action))).fit()
    file = tmp_path / "part" / "last.ckpt"
    assert torch.load(file, weights_only=True)["global_step"] == saved_at
    again = run(callbacks(tmp_path / "part"))
    resumed = again.fit(file)
    assert again.trainer.global_step == 18
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_where_an_epoch_has_one_batch_a_stop_is_answered_after_it(run, tmp_path, epoch):
    run(callbacks(tmp_path / "whole"), batch_size=64).fit()
    with pytest.raises(StoppedError):
        run(callbacks(tmp_path / "part", At(epoch, kill(signal.SIGTERM))), batch_size=64).fit()
    file = tmp_path / "part" / "last.ckpt"
    assert torch.load(file, weights_only=True)["global_step"] == epoch + 1
    again = run(callbacks(tmp_path / "part"), batch_size=64)
    again.fit(file)
    assert again.trainer.global_step == 3
    for name in ("last.ckpt", "best.ckpt"):
        expected, found = (torch.load(tmp_path / run / name, weights_only=True) for run in ("whole", "part"))
        assert found["global_step"] == expected["global_step"]
        assert all(torch.equal(found["state_dict"][key], value) for key, value in expected["state_dict"].items())


class Worse(pl.Callback):
    """Let validation say that every epoch after the second is worse."""

    def on_validation_end(self, trainer, pl_module):
        trainer.callback_metrics["val/psnr_db"] = torch.tensor(30.0 - abs(trainer.current_epoch - 1))


def test_last_is_the_last_epoch_and_best_the_best(run, tmp_path):
    configured = OmegaConf.load(CONF / "callbacks" / "none.yaml")
    made = []
    for name in ("best", "last"):
        node = OmegaConf.merge(configured[name], {"dirpath": str(tmp_path)})
        made.append(build(node, f"callbacks.{name}"))
    run([Worse(), *made], epochs=4).fit()
    epochs = {name: torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")}
    assert epochs == {"best": 1, "last": 3}
    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


def test_a_checkpoint_is_whole_or_the_former_one(run, tmp_path, monkeypatch):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    one = run(callbacks(folder), epochs=1, plugins=[AtomicCheckpointIO()])
    one.fit()
    before = (folder / "last.ckpt").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StageError, match="No space left"):
        one.trainer.save_checkpoint(folder / "last.ckpt")
    assert (folder / "last.ckpt").read_bytes() == before
    assert sorted(file.name for file in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert not list(elsewhere.iterdir())


def test_a_torn_or_foreign_last_checkpoint_is_said_and_the_one_before_is_used(run, tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    assert usable_checkpoint(tmp_path) is None
    run(callbacks(folder), epochs=1).fit()
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    os.utime(last, (1, 1))
    assert usable_checkpoint(tmp_path) == last
    whole = last.read_bytes()
    for content, word in ((whole[: len(whole) // 2], "no readable"), (b"", "no readable"), (None, "not written by")):
        if content is None:
            torch.save({"state_dict": {}}, last)
        else:
            last.write_bytes(content)
        caplog.clear()
        assert usable_checkpoint(tmp_path) == best
        assert word in caplog.text and str(last) in caplog.text
    best.write_bytes(b"torn")
    assert usable_checkpoint(tmp_path) is None


def test_the_message_says_how_to_go_on_and_the_exit_code_is_the_shells(run, tmp_path):
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError) as caught:
        run(callbacks(tmp_path, At(2, kill(signal.SIGTERM)))).fit()
    assert f"ckpt_path={tmp_path / 'last.ckpt'}" in str(caught.value) and "after step 3" in str(caught.value)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is former  # given back


def test_a_second_interrupt_ends_the_run_at_once(run, tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        run(callbacks(tmp_path, At(2, twice))).fit()
    signal.signal(signal.SIGINT, former)  # Lightning leaves it ignored
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 2


def test_a_crash_before_the_first_step_leaves_no_checkpoint(run, tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(callbacks(tmp_path, At(0, crash))).fit()
    assert not (tmp_path / "last.ckpt").exists()
