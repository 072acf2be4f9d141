"""Stage directories: nothing half-made is trusted, nothing finished redone, killed and resumed equals undisturbed."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from jewelenh import files
from jewelenh.config import Shard
from jewelenh.errors import ItemsFailedError, StageError
from jewelenh.manifest import fingerprint_of, read_manifest
from jewelenh.stage import check_failures, open_stage

SPEC = {"level": "mild", "seed": 1}


def write(parent: Path, stems, key="k", spec=SPEC, shard=None):
    with open_stage(parent, "mild", "test", spec, shard=shard) as stage:
        for stem in stems:
            if not stage.is_finished(stem, key):
                stage.save(stem, key, {"image": (f"{stem}.bin", f"{stem}{key}".encode() * 100)}, {"n": len(stem)})
        return stage.commit(stems)


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


def test_the_directory_is_named_by_level_and_fingerprint(tmp_path):
    selection = write(tmp_path, ["a"])
    assert selection.directory.name == f"mild-{fingerprint_of(SPEC)}"
    assert len(fingerprint_of(SPEC)) == 10
    assert fingerprint_of({"seed": 1, "level": "mild"}) == fingerprint_of(SPEC) != fingerprint_of({**SPEC, "seed": 2})


def test_finished_items_are_not_redone_and_changed_ones_are(tmp_path):
    directory = write(tmp_path, ["a", "b"]).directory
    stamps = {path.name: path.stat().st_mtime_ns for path in directory.glob("*.bin")}
    assert write(tmp_path, ["a", "b", "c"]).n_made == 1
    assert {p.name: p.stat().st_mtime_ns for p in directory.glob("*.bin") if p.name != "c.bin"} == stamps
    again = write(tmp_path, ["a"], key="other")
    assert again.n_made == 1
    assert (directory / "a.bin").read_bytes() == b"aother" * 100


def test_an_item_whose_file_is_gone_or_short_is_redone(tmp_path):
    directory = write(tmp_path, ["a", "b"]).directory
    (directory / "a.bin").unlink()
    (directory / "b.bin").write_bytes(b"x")
    assert write(tmp_path, ["a", "b"]).n_made == 2
    assert (directory / "b.bin").read_bytes() == b"bk" * 100


def killed_after_two(parent: Path) -> None:
    with open_stage(parent, "mild", "test", SPEC) as stage:
        for stem in ["a", "b", "c"]:
            stage.save(stem, "k", {"image": (f"{stem}.bin", f"{stem}k".encode() * 100)}, {"n": 1})
            if stem == "b":
                (stage.directory / ".c.bin.9.tmp").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_resumed_equals_an_undisturbed_one(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=killed_after_two, args=(tmp_path / "killed",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    directory = next((tmp_path / "killed").iterdir())
    assert read_manifest(directory) is None
    selection = write(tmp_path / "killed", ["a", "b", "c"])
    assert selection.n_made == 1
    assert content(selection.directory) == content(write(tmp_path / "whole", ["a", "b", "c"]).directory)


@pytest.mark.parametrize(
    "line", [b'{"stem": "b", "key"', b"\xff\x00{]", b'{"stem": "b", "key": 1, "files": []}', b"[]"]
)
def test_a_torn_or_foreign_journal_line_costs_only_its_item(tmp_path, line):
    directory = tmp_path / f"mild-{fingerprint_of(SPEC)}"
    write(tmp_path, ["a"])
    (directory / "journal-0of1.jsonl").write_bytes(line)
    selection = write(tmp_path, ["a", "b"])
    assert selection.n_made == 1
    assert not list(directory.glob("journal-*"))


@pytest.mark.parametrize("name", ["journal-0of1.jsonl", "manifest.json"])
def test_a_folder_in_the_place_of_a_file_is_said(tmp_path, name):
    directory = tmp_path / f"mild-{fingerprint_of(SPEC)}"
    (directory / name).mkdir(parents=True)
    with pytest.raises(StageError, match=name) as caught:
        write(tmp_path, ["a"])
    assert caught.value.fix


def test_shards_side_by_side_make_one_stage(tmp_path):
    write(tmp_path, ["a", "c"], shard=Shard(index=0, count=2))
    selection = write(tmp_path, ["b"], shard=Shard(index=1, count=2))
    manifest = read_manifest(selection.directory)
    assert manifest is not None
    assert sorted(manifest.items) == ["a", "b", "c"]
    assert content(selection.directory) == content(write(tmp_path / "one", ["a", "b", "c"]).directory)


def writer(parent: Path, barrier) -> None:
    barrier.wait()
    write(parent, [f"s{n}" for n in range(20)])


def test_two_writers_take_turns(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    processes = [context.Process(target=writer, args=(tmp_path, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    directory = next(tmp_path.iterdir())
    assert content(directory) == content(write(tmp_path / "alone", [f"s{n}" for n in range(20)]).directory)


def test_failures_are_kept_reported_and_tried_again(tmp_path):
    with open_stage(tmp_path, "mild", "test", SPEC) as stage:
        stage.save("a", "k", {"image": ("a.bin", b"a")}, {})
        stage.fail("b", "cannot be read")
        selection = stage.commit(["a", "b"])
    with pytest.raises(ItemsFailedError) as caught:
        check_failures(selection, "degrade", "stop")
    assert "1 of 2 failed" in str(caught.value)
    assert "'b': cannot be read" in str(caught.value)
    check_failures(selection, "degrade", "skip")
    assert json.loads((selection.directory / "manifest.json").read_text())["failures"] == {"b": "cannot be read"}
    assert write(tmp_path, ["a", "b"]).failures == {}
    assert json.loads((selection.directory / "manifest.json").read_text())["failures"] == {}


@pytest.mark.parametrize("damage", ["{", '{"items": []}', "[]"])
def test_a_broken_manifest_stops(tmp_path, damage):
    directory = write(tmp_path, ["a"]).directory
    (directory / "manifest.json").write_text(damage)
    with pytest.raises(StageError) as caught:
        write(tmp_path, ["a"])
    assert str(directory) in str(caught.value)


def test_a_manifest_changed_by_hand_stops(tmp_path):
    directory = write(tmp_path, ["a"]).directory
    path = directory / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(StageError, match="changed by hand"):
        write(tmp_path, ["a"])


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StageError) as caught:
        write(tmp_path, ["a"])
    assert "No space left" in str(caught.value)
    assert "free some space" in str(caught.value)
    directory = next(tmp_path.iterdir())
    assert not list(directory.glob("*.bin")) and not list(directory.glob(".*.tmp"))
    monkeypatch.undo()
    assert write(tmp_path, ["a"]).n_made == 1


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StageError) as caught:
        write(tmp_path / "file" / "data", ["a"])
    assert "paths.data_dir" in str(caught.value)


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StageError, match="Cannot lock: No locks available"):
        write(tmp_path, ["a"])


def test_the_whole_stage_waits_for_a_shard_under_way(tmp_path):
    context = multiprocessing.get_context("fork")
    with open_stage(tmp_path, "mild", "test", SPEC, shard=Shard(index=0, count=2)) as stage:
        stage.save("a", "k", {"image": ("a.bin", b"ak" * 100)}, {"n": 1})
        whole = context.Process(target=write, args=(tmp_path, ["a", "b"]))
        whole.start()
        time.sleep(0.5)
        assert whole.is_alive()
        assert not (stage.directory / "b.bin").exists()
        stage.commit(["a"])
    whole.join()
    assert whole.exitcode == 0
    assert content(stage.directory) == content(write(tmp_path / "alone", ["a", "b"]).directory)


def test_shards_run_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("fork")
    with open_stage(tmp_path, "mild", "test", SPEC, shard=Shard(index=0, count=2)):
        other = context.Process(target=write, args=(tmp_path, ["b"], "k", SPEC, Shard(index=1, count=2)))
        other.start()
        other.join(30)
        assert other.exitcode == 0
