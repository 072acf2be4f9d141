"""A run that is stopped or crashes anywhere goes on to exactly the weights of one that was left alone."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging

from jewelenh.errors import StoppedError
from jewelenh.training.callbacks import warm_average
from jewelenh.training.interruption import SaveWhenStopped


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
    return [average, ModelCheckpoint(folder, "best", "val/psnr_db", mode="max", save_last=True),
            *more, SaveWhenStopped(folder)]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "action", "error", "saved_at"),
    [
        (1, kill(signal.SIGTERM), StoppedError, 2),
        (8, kill(signal.SIGINT), StoppedError, 9),
        (5, kill(signal.SIGTERM), StoppedError, 7),  # in the last batch of an epoch: after the first of the next
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


def test_the_message_says_how_to_go_on_and_the_exit_code_is_the_shells(run, tmp_path):
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError) as caught:
        run(callbacks(tmp_path, At(2, kill(signal.SIGTERM)))).fit()
    assert f"resume={tmp_path / 'last.ckpt'}" in str(caught.value) and "after step 3" in str(caught.value)
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
