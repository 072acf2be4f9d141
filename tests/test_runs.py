"""One process a run; finished runs are found, broken ones go on, failed ones are tried again."""

import json
import subprocess
import sys

import pytest

from jewelenh.errors import BusyError, ConfigError, StoppedError
from jewelenh.refinement.weights import find_checkpoint
from jewelenh.runs import held, is_follower, read_run


def make(directory, error=None, checkpoint=False, **settings):
    """Make the run, or its first half; return whether there was anything to make, and the run."""
    directory.mkdir(parents=True, exist_ok=True)
    with held(directory, {"level": "mild"}, **settings) as run:
        if run.is_finished:
            return "found", run
        if checkpoint:
            (directory / "checkpoints").mkdir(exist_ok=True)
            (directory / "checkpoints" / "last.ckpt").write_bytes(b"weights")
        if error:
            raise error
        (directory / "checkpoints").mkdir(exist_ok=True)
        (directory / "checkpoints" / "best.ckpt").write_bytes(b"weights")
        run.finish({"score": 1.5})
    return "made", run


def test_a_finished_run_is_found_until_its_directory_is_gone(tmp_path):
    one = tmp_path / "one"
    assert make(one)[0] == "made"
    found, run = make(one)
    assert found == "found" and run.numbers == {"score": 1.5}
    state = read_run(one)
    assert state["state"] == "finished" and state["level"] == "mild" and state["tries"] == 1
    (one / "run.json").unlink()
    assert make(one)[0] == "made"


def test_a_finished_run_without_its_checkpoints_is_made_again(tmp_path, caplog):
    one = tmp_path / "one"
    make(one)
    (one / "checkpoints" / "best.ckpt").unlink()
    assert make(one)[0] == "made" and "are gone" in caplog.text
    assert make(one)[0] == "found"


def test_rerun_makes_it_again_and_keeps_the_earlier_result_beside_it(tmp_path):
    one = tmp_path / "one"
    make(one)
    (one / "metrics.json").write_text("earlier")
    (one / ".hydra").mkdir()
    assert make(one, rerun=True)[0] == "made"
    assert (tmp_path / "one.before-1" / "metrics.json").read_text() == "earlier"
    assert (one / ".hydra").is_dir() and not (one / "metrics.json").exists()
    assert make(one, rerun=True)[0] == "made" and (tmp_path / "one.before-2" / "run.json").is_file()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    one = tmp_path / "one"
    with pytest.raises(StoppedError):
        make(one, StoppedError("told to stop"), checkpoint=True)
    assert read_run(one)["state"] == "stopped"
    made, run = make(one)
    assert made == "made" and run.checkpoint == one / "checkpoints/last.ckpt" and run.n_tries == 2


def test_without_a_checkpoint_a_run_begins_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "one", KeyboardInterrupt())
    assert make(tmp_path / "one")[1].checkpoint is None


def test_a_failed_run_is_tried_from_its_checkpoint_once_then_from_the_start(tmp_path):
    one = tmp_path / "one"
    with pytest.raises(ValueError, match="boom"):
        make(one, ValueError("boom"), checkpoint=True)
    assert read_run(one)["state"] == "failed" and read_run(one)["reason"] == "boom"
    with pytest.raises(ValueError, match="boom"):
        make(one, ValueError("boom"))
    assert read_run(one)["resumed"]
    _, run = make(one)
    assert run.checkpoint is None and run.n_tries == 3


@pytest.mark.parametrize(
    "content",
    ['{"state": "fini', "[1]", '{"state": "finished"}', "", '{"state": "stopped", "tries": "many", "seconds": "long"}'],
)
def test_a_broken_state_file_is_no_result(tmp_path, content):
    make(tmp_path / "one")
    (tmp_path / "one" / "run.json").write_text(content)
    assert make(tmp_path / "one")[0] == "made"


def test_the_newest_checkpoint_is_that_of_the_run_that_was_asked_for_last(tmp_path):
    for name in ("one", "two"):
        make(tmp_path / name, checkpoint=True)
        (tmp_path / name / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    assert find_checkpoint("latest", tmp_path).parent.parent.name == "two"
    assert make(tmp_path / "one")[0] == "found"
    assert find_checkpoint("latest", tmp_path).parent.parent.name == "one"


def test_an_objective_that_the_run_does_not_measure_is_said(tmp_path):
    _, run = make(tmp_path / "one")
    assert run.value("score") == 1.5
    with pytest.raises(ConfigError, match="invalid objective=scroe"):
        run.value("scroe")


HOLD = """
import sys
from pathlib import Path
from jewelenh.runs import held
with held(Path(sys.argv[1]), {}) as run:
    print("held", flush=True)
    sys.stdin.readline()
    (Path(sys.argv[1]) / "checkpoints").mkdir(exist_ok=True)
    (Path(sys.argv[1]) / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    run.finish({"score": 2.5})
"""


def hold(directory, code=HOLD):
    directory.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_never_make_the_same_run(tmp_path):
    one = tmp_path / "one"
    holder = hold(one)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match="Another process works on this run") as caught:
        make(one, busy="skip")
    assert str(holder.pid) in str(caught.value)
    assert read_run(one)["state"] == "running"
    waiting = hold(one, HOLD.replace("run.finish", "print(dict(run.numbers)) #"))
    holder.communicate("go on\n")
    out, _ = waiting.communicate("go on\n")
    assert "2.5" in out, "the second waited, and found the result of the first"


def test_a_killed_holder_leaves_the_run_free(tmp_path):
    holder = hold(tmp_path / "one")
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    assert make(tmp_path / "one", busy="skip")[0] == "made"


@pytest.mark.parametrize(
    ("environment", "follows"),
    [
        ({}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, False),
        ({"RANK": "3", "LOCAL_RANK": "1"}, True),
        ({"NODE_RANK": "1"}, True),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "2"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, False),
    ],
)
def test_ranks_are_told_by_their_launcher(environment, follows):
    assert is_follower(environment) is follows


def test_a_rank_takes_over_what_the_first_process_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "together")
    one = tmp_path / "one"
    one.mkdir()
    with held(one, {}) as first:
        monkeypatch.setenv("RANK", "1")
        with held(one, {}) as run:
            assert run.directory == one and run.checkpoint is None and not run.is_finished
        monkeypatch.delenv("RANK")
        first.finish({"score": 0.5})
    monkeypatch.setenv("RANK", "1")
    with held(one, {}) as run:
        assert run.is_finished and run.numbers == {"score": 0.5}
    assert json.loads((one / "run.json").read_text())["state"] == "finished"
