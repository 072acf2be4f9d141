"""The LightningDataModule: loaders, determinism over workers, resume in the middle of an epoch, two ranks."""

from __future__ import annotations

import json
import re
import warnings
from types import SimpleNamespace

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from jewelenh.config import Data, parse
from jewelenh.errors import ConfigError, PairsError
from jewelenh.pairs.datamodule import PairsDataModule, auto_workers

CACHES = ("none", "ram")


def served(data, loader):
    return [data.on_after_batch_transfer(batch) for batch in loader]


def module(made, stage="fit", **options):
    workers = options.pop("workers", 0)
    data = PairsDataModule(Data(**{"crop": 16, **options}), made.directory, seed=7, workers=workers)
    data.prepare_data()
    data.setup(stage)
    return data


@pytest.mark.parametrize("cache", CACHES)
def test_batches(written, cache):
    data = module(written, cache=cache)
    batches = served(data, data.train_dataloader())
    assert {stem for batch in batches for stem in batch["stem"]} == {pair.stem for pair in written.split("train")}
    for batch in batches:
        assert set(batch) == {"input", "target", "stem"}
        assert batch["input"].dtype == torch.float32 and batch["input"].shape[1:] == (3, 16, 16)
        assert batch["input"].min() >= -1 and batch["input"].max() <= 1
    for loader, split in ((data.val_dataloader(), "val"), (data.test_dataloader(), "test")):
        found = served(data, loader)
        assert [batch["stem"][0] for batch in found] == [pair.stem for pair in written.split(split)]
        assert all(batch["input"].shape == (1, 3, 32, 32) for batch in found)
    assert [batch["stem"] for batch in data.predict_dataloader()] == [batch["stem"] for batch in data.test_dataloader()]


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_workers_change_nothing(written, cache):
    alone, helped = module(written, cache=cache), module(written, cache=cache, workers=2)
    loaders = alone.train_dataloader(), helped.train_dataloader()
    for epoch in range(2):  # the workers live on: the second epoch must reach them
        batches = []
        for data, loader in zip((alone, helped), loaders, strict=True):
            loader.sampler.set_epoch(epoch)
            batches.append(served(data, loader))
        for a, b in zip(*batches, strict=True):
            assert a["stem"] == b["stem"] and torch.equal(a["input"], b["input"])
    assert loaders[1].num_workers == 2


def test_epochs_differ_and_come_back(written):
    data = module(written)
    loader = data.train_dataloader()
    seen = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        seen.append(served(data, loader))
    assert torch.equal(seen[0][0]["input"], seen[2][0]["input"])
    assert not torch.equal(seen[0][0]["input"], seen[1][0]["input"])


def test_whole_images_and_centre_crops(written):
    data = module(written, crop=None, eval_crop=10, eval_batch_size=8)
    assert served(data, data.train_dataloader())[0]["input"].shape == (4, 3, 32, 32)
    assert served(data, data.val_dataloader())[0]["input"].shape[1:] == (3, 10, 10)


def test_prepare_is_called_and_a_directory_is_enough(written):
    calls = []

    def prepare():
        calls.append(1)
        return written.directory

    data = PairsDataModule(Data(), prepare, workers=0)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert data.pairs is not None and data.pairs.directory == written.directory and len(calls) == 2
    assert len(PairsDataModule(Data(), str(written.directory), workers=0).val_dataloader()) >= 1


def test_all_pairs_are_checked_before_the_first_batch(written):
    written.path(written.split("test")[-1].target).unlink()
    with pytest.raises(PairsError, match="missing"):
        PairsDataModule(Data(), written.directory).setup("fit")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 2.5}, "data.batch_size = 2.5: allowed is a valid integer"),
        ({"batch_size": 0}, "data.batch_size = 0: allowed is greater than or equal to 1"),
        ({"crop": "x"}, "data.crop = 'x': allowed is a valid integer"),
        ({"cache": "device"}, "data.cache = 'device': allowed is 'none' or 'ram'"),
        ({"augment": "perhaps"}, "data.augment = 'perhaps': allowed is a valid boolean"),
        ({"crops": 4}, "data.crops: there is no such key. Did you mean crop?"),
    ],
)
def test_impossible_settings_are_refused_by_their_keys(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(Data, values, "data")


@pytest.mark.parametrize(
    ("cache", "cpus", "expected"), [("none", 2, 0), ("none", 64, 8), ("ram", 2, 0), ("ram", 64, 4)]
)
def test_sensible_workers(cache, cpus, expected):
    assert auto_workers(cache, cpus) == expected


class Recorder(lightning.LightningModule):
    """Trains one number and writes down what it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append((self.current_epoch, tuple(batch["stem"]), float(batch["input"].sum())))
        return (self.weight * batch["input"] - batch["target"]).square().mean()

    def validation_step(self, batch, index):
        assert batch["input"].dtype == torch.float32

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


class SavesAtEnds(lightning.Callback):
    """Saves where ModelCheckpoint may save as well."""

    def __init__(self, directory):
        self.directory = directory

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.directory / f"validated-step={trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer, module):
        trainer.save_checkpoint(self.directory / f"epoch-step={trainer.global_step}.ckpt")


def train(made, tmp_path, epochs, resume=None, **options):
    model = Recorder()
    every_step = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[every_step, SavesAtEnds(tmp_path)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        workers = options.pop("workers", 0)
        data = PairsDataModule(Data(**{"crop": 16, **options}), made.directory, workers=workers)
        trainer.fit(model, datamodule=data, ckpt_path=resume)
    return model.seen


@pytest.mark.parametrize(("cache", "workers"), [("ram", 0), ("none", 2)])
def test_a_resumed_run_sees_what_an_unbroken_run_sees(written, tmp_path, cache, workers):
    whole = train(written, tmp_path / "whole", 3, cache=cache, workers=workers)
    per_epoch = len(whole) // 3
    assert per_epoch >= 3 and [epoch for epoch, *_ in whole] == sorted([0, 1, 2] * per_epoch)
    saved = [(step, f"step={step}.ckpt") for step in (1, per_epoch, per_epoch + 2, 2 * per_epoch)]  # middles and ends
    saved += [(per_epoch, f"{name}-step={per_epoch}.ckpt") for name in ("validated", "epoch")]
    for step, name in saved:
        resume = str(tmp_path / "whole" / name)
        again = train(written, tmp_path / f"again-{name}", 3, resume, cache=cache, workers=workers)
        assert again == whole[step:], f"resumed from {name}, {per_epoch} steps an epoch"


def test_resuming_on_other_pairs_is_said(written, write_as, caplog):
    data = module(write_as(dtype="uint8"))
    data.load_state_dict(module(written).state_dict())
    assert written.fingerprint in caplog.text
    caplog.clear()
    data.load_state_dict(data.state_dict())
    assert not caplog.text


def test_ranks_of_a_trainer_see_disjoint_batches(written):
    seen = []
    for rank in range(2):
        data = module(written, batch_size=2)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2, current_epoch=0)
        seen.append({stem for batch in data.train_dataloader() for stem in batch["stem"]})
    assert len(seen[0] & seen[1]) <= len(written.split("train")) % 2
    assert seen[0] | seen[1] == {pair.stem for pair in written.split("train")}


@pytest.mark.slow
def test_two_processes_of_lightning_see_disjoint_halves(written, tmp_path):
    """Real DDP on the CPU: Lightning must leave our sampler in place."""
    import subprocess
    import sys

    program = f"""
import json, sys
sys.path.insert(0, {str(__file__).rsplit("/", 1)[0]!r})
import pytorch_lightning as lightning
from test_pairs_datamodule import Recorder
from jewelenh.config import Data
from jewelenh.pairs.datamodule import PairsDataModule

class Writer(Recorder):
    def on_train_end(self):
        open({str(tmp_path)!r} + f"/seen-{{self.global_rank}}.json", "w").write(json.dumps(self.seen))

if __name__ == "__main__":
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", devices=2, strategy="ddp_fork", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    data = PairsDataModule(Data(batch_size=2, crop=16), {str(written.directory)!r}, workers=0)
    trainer.fit(Writer(), datamodule=data)
"""
    path = tmp_path / "train.py"
    path.write_text(program)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = [json.loads((tmp_path / f"seen-{rank}.json").read_text()) for rank in range(2)]
    for epoch in range(2):
        halves = [{stem for e, stems, _ in steps if e == epoch for stem in stems} for steps in seen]
        assert len(halves[0] & halves[1]) <= len(written.split("train")) % 2
        assert halves[0] | halves[1] == {pair.stem for pair in written.split("train")}


def test_loaders_pickle_nothing_large(written):
    loader = module(written, cache="ram", workers=2).train_dataloader()
    assert isinstance(loader, DataLoader) and loader.multiprocessing_context.get_start_method() == "fork"
    assert loader.persistent_workers
