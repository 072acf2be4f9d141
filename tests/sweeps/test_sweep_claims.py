"""One process a run; finished runs are found, broken ones go on, failed ones are tried again."""

import json
import subprocess
import sys

import pytest

from jewelenh.errors import BusyError, StoppedError
from jewelenh.sweeps.claims import claimed, read_state

CONTENT = {"version": 1, "values": {"seed": 1}}


def state_of(output_dir):
    [folder] = (output_dir / "runs").iterdir()
    return read_state(folder)


def make(output_dir, name, error=None, checkpoint=False, **settings):
    """Make the run, or its first half; return whether there was anything to make, and from what."""
    here = output_dir / "train" / name
    here.mkdir(parents=True, exist_ok=True)
    with claimed(output_dir, CONTENT, here, **settings) as run:
        if run.is_finished:
            return "found", run
        if checkpoint:
            (run.directory / "checkpoints").mkdir(exist_ok=True)
            (run.directory / "checkpoints" / "last.ckpt").write_bytes(b"weights")
        if error:
            raise error
        run.finish({"score": 1.5})
    return "made", run


def test_a_finished_run_is_found_until_its_directory_is_gone(tmp_path):
    assert make(tmp_path, "one")[0] == "made"
    found, run = make(tmp_path, "two")
    assert found == "found" and run.numbers == {"score": 1.5} and run.directory == tmp_path / "train" / "one"
    assert state_of(tmp_path)["state"] == "finished" and state_of(tmp_path)["directory"] == "train/one"
    assert make(tmp_path, "three", rerun=True)[0] == "made"
    assert state_of(tmp_path)["directory"] == "train/three"
    (tmp_path / "train" / "three").rmdir()
    assert make(tmp_path, "four")[0] == "made"


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    with pytest.raises(StoppedError):
        make(tmp_path, "one", StoppedError("told to stop"), checkpoint=True)
    assert state_of(tmp_path)["state"] == "stopped"
    (tmp_path / "train/one/csv").mkdir()
    (tmp_path / "train/one/csv/metrics.csv").write_text("epoch,loss\n0,1\n")
    made, run = make(tmp_path, "two")
    assert made == "made" and run.checkpoint == tmp_path / "train/one/checkpoints/last.ckpt"
    assert run.directory == tmp_path / "train/one" and run.n_tries == 2
    assert (tmp_path / "train/one/csv/before-1.csv").read_text() == "epoch,loss\n0,1\n"


def test_without_a_checkpoint_a_run_begins_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, "one", KeyboardInterrupt())
    _, run = make(tmp_path, "two")
    assert run.checkpoint is None and run.directory == tmp_path / "train/two"


def test_a_failed_run_is_tried_from_its_checkpoint_once_then_from_the_start(tmp_path):
    with pytest.raises(ValueError, match="boom"):
        make(tmp_path, "one", ValueError("boom"), checkpoint=True)
    assert state_of(tmp_path)["state"] == "failed" and state_of(tmp_path)["reason"] == "boom"
    with pytest.raises(ValueError, match="boom"):
        make(tmp_path, "two", ValueError("boom"))
    assert state_of(tmp_path)["resumed"]
    _, run = make(tmp_path, "three")
    assert run.checkpoint is None and run.directory == tmp_path / "train/three" and run.n_tries == 3


def test_a_broken_state_file_is_no_result(tmp_path):
    make(tmp_path, "one")
    [folder] = (tmp_path / "runs").iterdir()
    (folder / "run.json").write_text('{"state": "fini')
    assert make(tmp_path, "two")[0] == "made"


HOLD = """
import sys
from pathlib import Path
from jewelenh.sweeps.claims import claimed
with claimed(Path(sys.argv[1]), {"version": 1, "values": {"seed": 1}}, Path(sys.argv[1])) as run:
    print("held", flush=True)
    sys.stdin.readline()
    run.finish({"score": 2.5})
"""


def test_two_processes_never_make_the_same_run(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match="Another process works on this run") as caught:
        make(tmp_path, "two", busy="skip")
    assert str(holder.pid) in str(caught.value)
    assert state_of(tmp_path)["state"] == "running"
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("run.finish", "print(dict(run.numbers)) #"), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    holder.communicate("go on\n")
    out, _ = waiting.communicate("go on\n")
    assert "2.5" in out, "the second waited, and found the result of the first"


def test_a_killed_holder_leaves_the_run_free(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    assert make(tmp_path, "two", busy="skip")[0] == "made"


def test_the_state_says_what_was_hashed(tmp_path):
    make(tmp_path, "one")
    [folder] = (tmp_path / "runs").iterdir()
    state = json.loads((folder / "run.json").read_text())
    assert state["values"] == {"seed": 1} and state["numbers"] == {"score": 1.5} and state["tries"] == 1
