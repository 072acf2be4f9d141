"""The stage: files in, files out, resumable, in shards, failing closed."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from esrgan_parts import compact_state, png

from jewelenh.config import Enhancer, Hardware, Shard
from jewelenh.enhancement import run
from jewelenh.enhancement.batching import NotFiniteError
from jewelenh.enhancement.run import enhance, shard_of
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.enhancement.weights import identity_of
from jewelenh.errors import ItemsFailedError, StageError, WeightsError
from jewelenh.images import decode, read_photo
from jewelenh.manifest import read_manifest, sha256_of
from jewelenh.stage import Selection

FP16 = Hardware(device="cpu", precision="fp16")
STEMS = [f"rings/{name}.png" for name in "abcdefg"] + ["necklaces/a.png~1"]


def photos(count: int = 8) -> dict[str, bytes]:
    return {stem: png(20 + k % 3, 30, k) for k, stem in enumerate(STEMS[:count])}


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a stage but its locks, by name."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(".lock")}


@pytest.fixture
def no_network(monkeypatch):
    """From here on no weights may be loaded."""

    def refuse(*_: object) -> None:
        raise AssertionError("weights were loaded")

    return lambda: monkeypatch.setattr(Upscaler, "load", refuse)


def test_every_photo_becomes_a_png_of_its_own(photo_stage, enhancer, tmp_path):
    raw = photo_stage(photos())
    made = enhance(raw, "raw", enhancer, tmp_path / "data", None)
    assert [item.stem for item in made.items] == STEMS
    assert (made.n_made, made.failures) == (8, {})
    assert made.directory.parent == tmp_path / "data" / "enhanced"
    upscaler = Upscaler.load(enhancer)
    for item, source in zip(made.items, raw.items, strict=True):
        expected = upscaler.upscale(read_photo(raw.file(source)))
        assert np.array_equal(read_photo(made.file(item)).pixels, expected.pixels)
        assert item.key == source.files["image"].sha256 == item.record["source"]
        assert item.files["image"].path == f"{item.stem}.png"
        assert (item.record["photo"], item.record["variant"], item.record["scale"]) == (item.stem, 0, 4)


def test_a_second_run_loads_nothing(photo_stage, enhancer, tmp_path, no_network):
    raw = photo_stage(photos())
    first = enhance(raw, "raw", enhancer, tmp_path / "data", None)
    before = content(first.directory)
    no_network()
    again = enhance(raw, "raw", enhancer, tmp_path / "data", None)
    assert (again.n_made, len(again.items)) == (0, 8)
    assert content(again.directory) == before


def test_only_what_is_new_or_changed_or_lost_is_made(photo_stage, enhancer, tmp_path):
    first = enhance(photo_stage(photos(6)), "raw", enhancer, tmp_path / "data", None)
    times = {item.stem: first.file(item).stat().st_mtime_ns for item in first.items}
    first.file(first.items[3]).unlink()
    changed = {**photos(), STEMS[0]: png(25, 25, 99)}
    second = enhance(photo_stage(changed), "raw", enhancer, tmp_path / "data", None)
    assert second.directory == first.directory
    assert second.n_made == 4  # one changed, one lost, two new
    kept = [i for i in second.items if second.file(i).stat().st_mtime_ns == times.get(i.stem)]
    assert [item.stem for item in kept] == [STEMS[1], STEMS[2], STEMS[4], STEMS[5]]


def test_growing_gives_the_bytes_of_starting_large(photo_stage, enhancer, tmp_path):
    enhance(photo_stage(photos(3)), "raw", enhancer, tmp_path / "data", None)
    grown = enhance(photo_stage(photos()), "raw", enhancer, tmp_path / "data", None)
    at_once = enhance(photo_stage(photos()), "raw", enhancer, tmp_path / "elsewhere", None)
    assert content(grown.directory) == content(at_once.directory)


@pytest.mark.parametrize("change", [{"strength": 0.5}, {"engine": "official"}], ids=str)
def test_what_changes_the_picture_is_another_stage(enhancer, change):
    assert identity_of(enhancer) != identity_of(dataclasses.replace(enhancer, **change))


def test_paths_and_names_do_not_matter(enhancer, tmp_path):
    elsewhere = tmp_path / "other name.pth"
    elsewhere.write_bytes(enhancer.weights.read_bytes())
    assert identity_of(enhancer) == identity_of(dataclasses.replace(enhancer, weights=elsewhere, name="other"))


def test_how_it_runs_is_noted_but_makes_no_other_stage(photo_stage, enhancer, tmp_path):
    """A stage made on a GPU is found on a CPU; which precision a photo was made in stays on record."""
    raw = photo_stage(photos(2))
    first = enhance(raw, "raw", enhancer, tmp_path / "data", None, hardware=Hardware(device="cpu", precision="bf16"))
    again = enhance(raw, "raw", enhancer, tmp_path / "data", None, hardware=Hardware(precision="fp32", tile=64))
    assert (again.directory, again.n_made) == (first.directory, 0)
    assert [item.record["precision"] for item in again.items] == ["bf16", "bf16"]


# Failures -------------------------------------------------------------------------------------------------------------


def with_broken(photo_stage) -> Selection:
    return photo_stage({**photos(5), STEMS[1]: photos()[STEMS[1]][:200], STEMS[3]: b"no image"})


def test_broken_photos_are_reported_and_the_others_kept(photo_stage, enhancer, tmp_path):
    with pytest.raises(ItemsFailedError, match=r"(?s)2 of 5 failed.*rings/b.*damaged.*rings/d.*not an image"):
        enhance(with_broken(photo_stage), "raw", enhancer, tmp_path / "data", None)
    (stage,) = (tmp_path / "data" / "enhanced").iterdir()
    manifest = read_manifest(stage)
    assert set(manifest.items) == {STEMS[0], STEMS[2], STEMS[4]}
    assert set(manifest.failures) == {STEMS[1], STEMS[3]}
    assert not (stage / f"{STEMS[1]}.png").exists()


def test_skip_goes_on_without_them_and_mending_redoes_only_them(photo_stage, enhancer, tmp_path):
    some = enhance(with_broken(photo_stage), "raw", enhancer, tmp_path / "data", None, on_error="skip")
    assert (len(some.items), len(some.failures)) == (3, 2)
    mended = enhance(photo_stage(photos(5)), "raw", enhancer, tmp_path / "data", None)
    assert (mended.n_made, len(mended.items), mended.failures) == (2, 5, {})


def test_a_photo_that_changed_after_it_was_indexed(photo_stage, enhancer, tmp_path):
    raw = photo_stage(photos(3))
    raw.file(raw.items[1]).write_bytes(png(20, 30, 77))
    with pytest.raises(ItemsFailedError, match=r"(?s)1 of 3 failed.*made again once it is removed"):
        enhance(raw, "raw", enhancer, tmp_path / "data", None)


def test_a_photo_that_vanished_and_one_that_is_a_folder(photo_stage, enhancer, tmp_path):
    raw = photo_stage(photos(4))
    raw.file(raw.items[1]).unlink()
    raw.file(raw.items[2]).unlink()
    raw.file(raw.items[2]).mkdir()
    with pytest.raises(ItemsFailedError, match=r"(?s)2 of 4 failed.*No such file.*not a regular file"):
        enhance(raw, "raw", enhancer, tmp_path / "data", None)


@pytest.fixture
def spoilt_enhancer(tmp_path, enhancer) -> Enhancer:
    """Weights whose sums exceed what fp16 can hold, as some published ones do."""
    state = compact_state()
    state["body.2.weight"] = state["body.2.weight"].abs() * 3e4
    state["body.4.weight"] = state["body.4.weight"] / 3e4
    torch.save(state, tmp_path / "large.pth")
    return dataclasses.replace(enhancer, weights=tmp_path / "large.pth")


def test_nan_stops_and_names_photo_precision_and_the_fix(photo_stage, spoilt_enhancer, tmp_path):
    with pytest.raises(NotFiniteError, match=r"(?s)NaN.*fp16.*(rings|necklaces)/.*hardware.precision=fp32"):
        enhance(photo_stage(photos()), "raw", spoilt_enhancer, tmp_path / "data", None, hardware=FP16)
    assert not list((tmp_path / "data" / "enhanced").rglob("*.png"))
    fp32 = Hardware(device="cpu", precision="fp32")
    assert enhance(photo_stage(photos()), "raw", spoilt_enhancer, tmp_path / "data", None, hardware=fp32).n_made == 8


def test_nan_with_skip_is_noted(photo_stage, spoilt_enhancer, tmp_path):
    made = enhance(
        photo_stage(photos(2)), "raw", spoilt_enhancer, tmp_path / "data", None, hardware=FP16, on_error="skip"
    )
    assert list(made.failures) == STEMS[:2]
    assert "fp16" in made.failures[STEMS[0]]


def test_bad_weights_write_nothing(photo_stage, enhancer, tmp_path):
    with pytest.raises(WeightsError):
        enhance(
            photo_stage(photos()), "raw", dataclasses.replace(enhancer, weights=tmp_path / "no.pth"), tmp_path, None
        )
    assert not (tmp_path / "enhanced").exists()


def test_a_disk_that_is_full(photo_stage, enhancer, tmp_path, monkeypatch):
    """The third file does not fit: the error says so, what was finished is kept, and a later run goes on."""
    import errno

    from jewelenh import files

    raw, n_synced, real = photo_stage(photos()), 0, files.os.fsync

    def full(handle: int) -> None:
        nonlocal n_synced
        n_synced += 1
        if n_synced >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StageError, match=r"(?s)No space left.*what is finished is kept"):
        enhance(raw, "raw", enhancer, tmp_path / "data", None)
    monkeypatch.undo()
    assert 1 <= enhance(raw, "raw", enhancer, tmp_path / "data", None).n_made <= 6


KILLED = """
import os, signal, sys
from pathlib import Path
from jewelenh import files
from jewelenh.config import Enhancer
from jewelenh.enhancement.run import enhance
from jewelenh.manifest import read_manifest
from jewelenh.stage import Selection

n_synced = 0
def kill_at_the_fourth(handle):
    global n_synced
    n_synced += 1
    if n_synced == 4:
        os.kill(os.getpid(), signal.SIGKILL)

raw, weights, data_dir = map(Path, sys.argv[1:])
manifest = read_manifest(raw)
photos = Selection(raw, manifest.fingerprint, list(manifest.items.values()), {})
files.os.fsync = kill_at_the_fourth
enhance(photos, "raw", Enhancer(name="tiny", weights=weights), data_dir, None)
"""


def test_a_killed_run_resumed_equals_one_never_killed(photo_stage, enhancer, tmp_path):
    """A real SIGKILL while a file is half in place: written under its temporary name, not renamed."""
    raw = photo_stage(photos())
    command = [sys.executable, "-c", KILLED, raw.directory, enhancer.weights, tmp_path / "data"]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    (stage,) = (tmp_path / "data" / "enhanced").iterdir()
    assert list(stage.rglob(".*.tmp"))
    assert not (stage / "manifest.json").exists()
    n_there = len(list(stage.rglob("*.png")))
    assert 1 <= n_there <= 4
    resumed = enhance(raw, "raw", enhancer, tmp_path / "data", None)
    assert 8 - n_there <= resumed.n_made < 8
    clean = enhance(raw, "raw", enhancer, tmp_path / "clean", None)
    assert content(resumed.directory) == content(clean.directory)


# Shards ---------------------------------------------------------------------------------------------------------------


def test_shards_share_the_work_and_the_last_one_completes_it(photo_stage, enhancer, tmp_path, caplog):
    raw, n_made = photo_stage(photos()), 0
    caplog.set_level("INFO")
    for index in (2, 0, 1):
        part = enhance(raw, "raw", enhancer, tmp_path / "data", None, shard=Shard(index=index, count=3))
        n_made += part.n_made
        assert part.n_made == sum(shard_of(stem, 3) == index for stem in STEMS)
        assert len(part.items) == n_made
    assert n_made == 8
    assert "the stage is complete" in caplog.messages[-1]
    assert "left to the other shards" in caplog.text
    alone = enhance(raw, "raw", enhancer, tmp_path / "alone", None)
    assert content(part.directory) == content(alone.directory)


def test_a_shard_resumes_and_skips(photo_stage, enhancer, tmp_path, no_network):
    raw, shard = photo_stage(photos()), Shard(index=0, count=2)
    enhance(raw, "raw", enhancer, tmp_path / "data", None, shard=shard)
    no_network()
    assert enhance(raw, "raw", enhancer, tmp_path / "data", None, shard=shard).n_made == 0


def test_new_photos_do_not_move_old_ones_between_shards():
    assert [shard_of(stem, 4) for stem in ("rings/a.jpg", "rings/b.jpg", "é~2")] == [0, 1, 3]  # sha256sum, by hand
    counts = np.bincount([shard_of(f"rings/{k}.jpg", 4) for k in range(4000)])
    assert counts.min() > 900


def test_results_waiting_for_their_png_are_bounded(photo_stage, enhancer, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ENCODING_BYTES", 1)
    made = enhance(photo_stage(photos()), "raw", enhancer, tmp_path / "data", None)
    assert made.n_made == 8


def test_written_files_are_what_the_manifest_says(photo_stage, enhancer, tmp_path):
    made = enhance(photo_stage(photos(3)), "raw", enhancer, tmp_path / "data", None)
    for item in made.items:
        data = made.file(item).read_bytes()
        assert sha256_of(data) == item.files["image"].sha256
        assert decode(data).size[1] == 120
