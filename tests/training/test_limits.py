"""What a run cannot do is said before it starts: no room, no pairs, another run's checkpoint; one photo is enough."""

import dataclasses
import shutil
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from jewelenh.config import Data
from jewelenh.errors import CheckpointError, PairsError, TrainingError
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.refinement.checkpoint import check_same_run
from jewelenh.training.interruption import check_room, memory_advice, n_checkpoints


def test_without_room_the_run_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * 2**20))
    module = nn.Linear(1024, 1024, bias=False)  # 4 MiB, 20 MiB a checkpoint
    check_room(tmp_path, module, 5)
    with pytest.raises(TrainingError, match="no room") as caught:
        check_room(tmp_path, module, 6)
    assert "120 MiB for 6 files" in str(caught.value) and "100 MiB free" in str(caught.value)


def test_kept_checkpoints_are_counted(tmp_path):
    callbacks = [ModelCheckpoint(tmp_path, save_last=True, monitor="a"), ModelCheckpoint(tmp_path, save_top_k=-1)]
    assert n_checkpoints([*callbacks, pl.Callback()]) == 2 + 10


def test_a_gpu_out_of_memory_names_the_settings():
    with pytest.raises(TrainingError, match=r"data\.batch_size") as caught, memory_advice():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")
    assert "Tried to allocate 2.00 GiB" in str(caught.value) and "more" not in str(caught.value)


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_split_is_said(run, pairs, split):
    one = run([])
    one.data.setup("fit")
    kept = tuple(pair for pair in pairs.pairs if pair.split != split)
    one.data.pairs = dataclasses.replace(one.data.pairs, pairs=kept)
    with pytest.raises(PairsError, match=f"no pairs in {split}") as caught:
        one.fit()
    assert "pairs.split" in str(caught.value)


def test_an_empty_test_split_is_said_before_training_where_a_test_follows(pairs):
    data = PairsDataModule(Data(), pairs.directory, workers=0, tested=True)
    data.setup("fit")
    data.pairs = dataclasses.replace(data.pairs, pairs=tuple(pair for pair in pairs.pairs if pair.split != "test"))
    with pytest.raises(PairsError, match="no pairs in test"):
        data.setup("fit")


def test_a_checkpoint_of_another_recipe_is_refused_with_the_difference():
    about = {"network": {"_target_": "a.B"}, "pairs_dir": "p", "config": {"model": {"recipe": "adversarial"}}}
    check_same_run(about, about)
    with pytest.raises(CheckpointError, match=r"model\.recipe: adversarial in the checkpoint, refinement now"):
        check_same_run(about, {**about, "config": {"model": {"recipe": "refinement"}}})


def test_one_validation_photo_and_a_batch_larger_than_the_split(run, pairs, tmp_path, caplog):
    one = run([ModelCheckpoint(tmp_path, "best", "val/psnr_db", mode="max")], epochs=1, batch_size=1000)
    one.data.setup("fit")
    few = [p for p in pairs.pairs if p.split == "train"] + [p for p in pairs.pairs if p.split == "val"][:1]
    one.data.pairs = dataclasses.replace(one.data.pairs, pairs=tuple(few))
    one.fit()
    assert one.trainer.global_step == 1 and (tmp_path / "best.ckpt").is_file()
    assert f"only {len(few) - 1} pictures" in caplog.text


def test_a_checkpoint_of_another_network_is_refused_with_the_difference(run, tmp_path):
    run([ModelCheckpoint(tmp_path, save_last=True)], epochs=1).fit()
    with pytest.raises(CheckpointError, match="features: 4 in the checkpoint, 8 now"):
        run([], features=8).fit(tmp_path / "last.ckpt")


def test_a_checkpoint_of_other_pairs_is_refused_with_the_difference(run, pairs, tmp_path):
    run([ModelCheckpoint(tmp_path, save_last=True)], epochs=1).fit()
    other = pairs.directory.with_name("mild-0123456789")
    shutil.copytree(pairs.directory, other)
    with pytest.raises(CheckpointError, match=f"pairs: {pairs.directory.name} in the checkpoint, mild-0123456789 now"):
        type(run([]))(dataclasses.replace(pairs, directory=other), []).fit(tmp_path / "last.ckpt")
