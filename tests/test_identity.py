"""What is the same training, and what is not."""

import copy

import pytest
from omegaconf import OmegaConf

from jewelenh.errors import CheckpointError, SourceError
from jewelenh.identity import identity, run_name
from jewelenh.job import register_resolvers

VALUES = {
    "seed": 42,
    "experiment": "mild",
    "degradation": {"name": "mild", "variants": 1},
    "paths": {"output_dir": "outputs"},
    "source": {"kind": "sample", "root": None, "limit": None},
    "model": {"recipe": "refinement", "network": {"features": 32}, "optimizer": {"lr": 1e-3}},
    "hardware": {"device": "auto"},
    "data": {"batch_size": 4, "crop": "${on_gpu:null,256}", "seed": "${seed}"},
    "trainer": {"accelerator": "auto", "devices": "auto", "precision": "auto", "max_epochs": 20},
    "callbacks": {"best": {"dirpath": "${hydra:runtime.output_dir}/checkpoints", "monitor": "val/psnr_db"}},
    "logger": {"csv": {"save_dir": "${hydra:runtime.output_dir}"}},
    "ckpt_path": None,
}


@pytest.fixture(autouse=True)
def _resolvers():
    register_resolvers()


def name_of(values):
    return run_name(OmegaConf.create(values))


def changed(key, value):
    values = copy.deepcopy(VALUES)
    *parents, name = key.split(".")
    node = values
    for parent in parents:
        node = node[parent]
    node[name] = value
    return values


def folder(tmp_path, root):
    return changed("source", {"kind": "folder", "root": str(tmp_path / root), "limit": None})


def test_a_name_says_level_and_seed():
    assert name_of(VALUES).startswith("mild-seed42-")
    assert len(name_of(VALUES)) == len("mild-seed42-") + 10


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("paths.output_dir", "elsewhere"),
        ("logger", None),
        ("experiment", "mine"),
        ("trainer.accelerator", "cpu"),
        ("trainer.devices", 1),
        ("hardware.device", "cpu"),
        ("callbacks.lines", {"_target_": "x"}),
    ],
)
def test_paths_loggers_and_hardware_are_no_part_of_a_run(key, value, monkeypatch):
    monkeypatch.setattr("jewelenh.hardware.has_gpu", lambda accelerator: False)
    assert name_of(changed(key, value)) == name_of(VALUES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 43),
        ("model.optimizer.lr", 2e-3),
        ("trainer.precision", "32-true"),
        ("trainer.max_epochs", 21),
        ("source.limit", 5),
        ("callbacks.best.monitor", "val/ssim"),
    ],
)
def test_whatever_changes_the_result_makes_another_run(key, value):
    assert name_of(changed(key, value)) != name_of(VALUES)


def test_without_a_gpu_other_crops_are_trained_on_and_so_it_is_another_run(monkeypatch):
    monkeypatch.setattr("jewelenh.hardware.has_gpu", lambda accelerator: False)
    here = name_of(VALUES)
    monkeypatch.setattr("jewelenh.hardware.has_gpu", lambda accelerator: True)
    assert name_of(VALUES) != here
    assert name_of(changed("data.crop", None)) == name_of(VALUES), "what is typed is the same run as the default"


def test_photos_count_by_what_they_are_not_by_where_they_lie(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name / "rings").mkdir(parents=True)
        (tmp_path / name / "rings" / "a.jpg").write_bytes(b"1234" if name != "three" else b"5678")
    first = name_of(folder(tmp_path, "one"))
    assert name_of(folder(tmp_path, "two")) == first
    assert name_of(folder(tmp_path, "three")) != first, "equal names and sizes are not equal photos"


def test_one_photo_more_is_another_run_a_hidden_file_is_not(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"1")
    (tmp_path / "two" / "b.jpg").write_bytes(b"2")
    (tmp_path / "three" / ".hidden.jpg").write_bytes(b"2")
    assert name_of(folder(tmp_path, "two")) != name_of(folder(tmp_path, "one")) == name_of(folder(tmp_path, "three"))


def test_a_loop_of_links_among_the_photos_ends(tmp_path):
    for name in ("photos", "linked"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"1")
    (tmp_path / "linked" / "again").symlink_to(tmp_path / "linked")
    assert name_of(folder(tmp_path, "linked")) == name_of(folder(tmp_path, "photos"))


def test_photos_that_are_not_there_have_no_name(tmp_path):
    with pytest.raises(SourceError, match="not there"):
        name_of(folder(tmp_path, "nowhere"))


def test_weights_count_by_content(tmp_path):
    for name, content in {"a": b"one", "b": b"one", "c": b"two"}.items():
        (tmp_path / f"{name}.pth").write_bytes(content)
    names = [name_of({**VALUES, "enhancer": {"weights": str(tmp_path / f"{name}.pth")}}) for name in "abc"]
    assert names[0] == names[1] != names[2]


def test_a_run_that_goes_on_from_a_checkpoint_is_another_one(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"weights")
    values = changed("ckpt_path", str(tmp_path / "a.ckpt"))
    assert name_of(values) != name_of(VALUES)
    assert str(tmp_path) not in str(identity(OmegaConf.create(values))), "its content counts"
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        name_of(changed("ckpt_path", str(tmp_path / "b.ckpt")))
