"""What is the same run, and what is not."""

import copy

import pytest

from jewelenh.sweeps.identity import fingerprint, fitted, identity

VALUES = {
    "seed": 42,
    "experiment": "mild",
    "paths": {"output_dir": "outputs"},
    "source": {"kind": "folder", "root": "photos", "limit": None},
    "model": {"recipe": "refinement", "network": {"features": 32}, "optimizer": {"lr": 1e-3}},
    "data": {"batch_size": 4, "workers": "auto"},
    "trainer": {"accelerator": "auto", "devices": "auto", "precision": "auto", "max_epochs": 20},
    "callbacks": {"best": {"dirpath": "/out/7/checkpoints", "monitor": "val/psnr_db"}},
    "logger": {"csv": {"save_dir": "/out/7"}},
    "without_gpu": {"model.network.features": 16, "data.batch_size": 8},
}


def print_of(values, run_dir="/out/7"):
    return fingerprint(identity(values, run_dir))


def changed(key, value):
    values = copy.deepcopy(VALUES)
    *parents, name = key.split(".")
    node = values
    for parent in parents:
        node = node[parent]
    node[name] = value
    return values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("paths.output_dir", "elsewhere"),
        ("logger", None),
        ("experiment", "mine"),
        ("trainer.accelerator", "cpu"),
        ("trainer.devices", 1),
        ("data.workers", 3),
        ("hardware", {"device": "cpu", "precision": "bf16", "tile": 64}),
        ("callbacks.lines", {"_target_": "x"}),
    ],
)
def test_paths_loggers_and_hardware_are_no_part_of_a_run(key, value):
    assert print_of(changed(key, value)) == print_of(VALUES)


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
    assert print_of(changed(key, value)) != print_of(VALUES)


def test_the_directory_of_a_try_does_not_count():
    other = changed("callbacks.best.dirpath", "/out/8/checkpoints")
    assert print_of(other, "/out/8") == print_of(VALUES)


def test_without_a_gpu_another_network_is_trained_and_so_another_run():
    here, there = fitted(VALUES, set(), has_gpu=False), fitted(VALUES, set(), has_gpu=True)
    assert here["model"]["network"]["features"] == 16 and there == VALUES
    assert print_of(here) != print_of(there)
    assert fitted(VALUES, {"model.network.features"}, has_gpu=False)["model"]["network"]["features"] == 32
    esrgan = changed("model.recipe", "esrgan")
    assert fitted(esrgan, set(), has_gpu=False) == esrgan


def test_photos_count_by_what_they_are_not_by_where_they_lie(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "rings").mkdir(parents=True)
        (tmp_path / name / "rings" / "a.jpg").write_bytes(b"1234")
    first = print_of(changed("source.root", str(tmp_path / "one")))
    assert print_of(changed("source.root", str(tmp_path / "two"))) == first
    (tmp_path / "two" / "rings" / "b.jpg").write_bytes(b"5")
    assert print_of(changed("source.root", str(tmp_path / "two"))) != first


def test_a_loop_of_links_among_the_photos_ends(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"1")
    before = print_of(changed("source.root", str(tmp_path / "photos")))
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "photos")
    assert print_of(changed("source.root", str(tmp_path / "photos"))) == before


def test_weights_count_by_content(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"one")
    (tmp_path / "b.pth").write_bytes(b"one")
    (tmp_path / "c.pth").write_bytes(b"two")
    prints = [print_of({**VALUES, "enhancer": {"weights": str(tmp_path / f"{name}.pth")}}) for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
