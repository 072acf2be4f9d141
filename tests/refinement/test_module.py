"""The LightningModule: it learns, logs its baseline, and stops at a NaN or infinite loss."""

import functools
import logging

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from jewelenh.errors import JewelenhError
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.module import RefinementModule
from jewelenh.refinement.networks import RefinementUNet
from jewelenh.training.callbacks import EpochLine, warm_average


def batches(offset: float = 0.2, n: int = 8) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    items = []
    for number in range(n):
        target = torch.rand(3, 24, 24, generator=generator) - 0.5
        items.append({"input": target + offset, "target": target, "stem": str(number)})
    return DataLoader(items, batch_size=4)  # type: ignore[arg-type]


def module(lr: float = 3e-3) -> RefinementModule:
    torch.manual_seed(0)
    return RefinementModule(
        RefinementUNet(4, fold=1, blocks=1, depth=1), PixelLoss(), functools.partial(torch.optim.Adam, lr=lr)
    )


def trainer(tmp_path, epochs: int, **options) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )


def test_a_constant_shift_is_learnt_and_the_gain_is_refined_minus_input(tmp_path):
    run = trainer(tmp_path, 40, check_val_every_n_epoch=40)
    run.fit(module(), batches(), batches(n=3))
    values = {name: float(value) for name, value in run.callback_metrics.items()}
    assert values["val/psnr_db_input"] == pytest.approx(20.0, abs=0.01)  # a shift of 0.1 in [0, 1]
    assert values["val/gain_db"] == pytest.approx(values["val/psnr_db"] - values["val/psnr_db_input"], abs=1e-4)
    assert values["val/gain_db"] > 3
    assert values["train/loss"] == pytest.approx(values["train/l1"] + 0.5 * values["train/mse"], rel=1e-4)


def test_a_nan_loss_stops_before_the_weights(tmp_path):
    model = module()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(JewelenhError) as caught:
        trainer(tmp_path, 1).fit(model, batches(float("nan")))
    assert "loss is nan at step 0" in str(caught.value) and "model.optimizer.lr" in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_every_validation_is_one_line_with_the_numbers(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="jewelenh"):
        trainer(tmp_path, 2, callbacks=[EpochLine()]).fit(module(), batches(), batches(n=2))
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all(word in lines[0] for word in ["loss 0.", "val ", "(input 20.00", "gain ", " left"])


def test_the_average_is_young_before_it_is_steady():
    average = warm_average(0.9)
    zero, one = torch.zeros(()), torch.ones(())
    assert float(average(zero, one, 1)) == pytest.approx(9 / 11)  # keeps 2/11 after one step
    assert float(average(zero, one, torch.tensor(1000))) == pytest.approx(0.1)
    value = zero
    for n in range(1, 200):
        value = average(value, one, n)
    assert float(value) > 0.999
