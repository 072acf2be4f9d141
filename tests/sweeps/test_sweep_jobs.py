"""Sweeps as a user types them: broken off and repeated, side by side, with jobs that fail."""

import json
import os
import re
import signal
import time

import pytest
from sweeps_drawn import directory, jobs, kill_group, small, start, sweeps
from tests_drawn import chain_overrides

from jewelenh.manifest import read_manifest, sha256_of


def until(condition, seconds=300.0):
    """Wait for another process; the time is a limit, not a measure."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


def running_pid(folder, seen):
    """Return the process of a run that is under way and was not seen before."""
    for file in (folder / "outputs").glob("*/*/run.json"):
        state = json.loads(file.read_text())
        if state["state"] == "running" and state["by"]["pid"] not in seen:
            return state["by"]["pid"]
    return None


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def results(sweep_dir):
    """Return what each job's run measured, per photo."""
    found = {}
    for number in jobs(sweep_dir):
        place = directory(sweep_dir, number)
        run = json.loads((place / "run.json").read_text())
        found[number] = (run["level"], run["seed"], json.loads((place / "metrics.json").read_text())["photos"])
    return dict(sorted(found.items()))


@pytest.mark.slow
def test_a_sweep_that_lost_a_job_and_its_driver_is_finished_by_the_same_command(photos, tiny_weights, tmp_path):
    words = ["-m", *small(photos, tiny_weights)]
    four = "seed=1,2,3,4"
    driver = start(tmp_path, "train", *words, four)
    first = until(lambda: (tmp_path / "outputs").is_dir() and running_pid(tmp_path, ()))
    second = until(lambda: running_pid(tmp_path, {first}))
    os.kill(second, signal.SIGKILL)
    third = until(lambda: running_pid(tmp_path, {first, second}))
    until(lambda: "killed by SIGKILL" in (tmp_path / "out.txt").read_text())  # said at once, not at the end
    driver.kill()
    driver.wait()
    until(lambda: is_gone(third))
    [broken] = sweeps(tmp_path)
    assert [job.state for job in jobs(broken).values()].count("finished") == 1
    assert jobs(broken)[1].reason.startswith("killed by SIGKILL")
    first_run = directory(broken, 0)
    whole = [file for file in [*first_run.glob("*.json"), *first_run.glob("checkpoints/*")] if file.is_file()]
    before = {file: sha256_of(file.read_bytes()) for file in whole}

    both = ["hydra.launcher.n_jobs=2"]
    again = start(tmp_path, "train", *words, four, *both)
    assert again.wait() == 0, (tmp_path / "out.txt").read_text()
    assert {file: sha256_of(file.read_bytes()) for file in whole} == before, "what was finished is left alone"
    repeated = sweeps(tmp_path)[1]
    assert {job.state for job in jobs(repeated).values()} == {"finished"}
    assert directory(repeated, 0) == first_run
    assert (repeated / "summary.md").is_file() and (repeated / "report.html").is_file()

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    other = start(undisturbed, "train", *words, "seed=2,3", *both, f"paths.data_dir={tmp_path / 'data'}")
    assert other.wait() == 0, (undisturbed / "out.txt").read_text()
    assert list(results(sweeps(undisturbed)[0]).values()) == [results(repeated)[1], results(repeated)[2]]


@pytest.mark.slow
def test_two_sweeps_at_once_make_each_stage_once(photos, tiny_weights, tmp_path):
    words = ["-m", *chain_overrides(photos, tiny_weights), "degradation=mild,moderate"]
    both = [start(tmp_path, "pair", *words), start(tmp_path, "pair", *words)]
    assert [process.wait() for process in both] == [0, 0], (tmp_path / "out.txt").read_text()
    said = (tmp_path / "out.txt").read_text()
    for step in ("degrade mild", "degrade moderate", "enhance mild", "enhance moderate", "enhance raw"):
        made = [int(line.split(f"{step}: ")[1].split()[0]) for line in said.splitlines() if f"{step}: " in line]
        assert sum(made) == 12, (step, made)
    stages = [file.parent for file in (tmp_path / "data").glob("*/*/manifest.json")]
    assert len(stages) == 8  # raw; degraded and pairs at two levels; enhanced at two levels and raw
    for stage in stages:
        for item in read_manifest(stage).items.values():
            for file in item.files.values():
                assert sha256_of((stage / file.path).read_bytes()) == file.sha256
    assert not list((tmp_path / "data").rglob("*.tmp")) and not list((tmp_path / "data").rglob("journal-*"))


@pytest.mark.slow
def test_every_kind_of_failure_is_in_the_summary_and_the_rest_runs(photos, tiny_weights, tmp_path):
    choices = (
        "{_target_:math.sqrt,_args_:[-1]},{_target_:jewelenh.hardware.find_device,name:'cuda:99'},{_target_:os.abort}"
    )
    words = ["-m", *small(photos, tiny_weights), f"+callbacks.x={choices}"]
    sweep = start(tmp_path, "train", *words, "hydra.launcher.n_jobs=2")
    assert sweep.wait() == 1
    [folder] = sweeps(tmp_path)
    found = jobs(folder)
    assert [job.state for job in found.values()] == ["failed"] * 3, "no failure stopped another job"
    assert found[0].reason.startswith("ConfigError: Invalid callbacks.x.") and "math domain error" in found[0].reason
    assert found[1].reason.startswith("ConfigError: hardware.device=cuda:99")
    assert found[2].reason.startswith("killed by SIGABRT") and found[2].exit_code == -signal.SIGABRT
    summary = (folder / "summary.md").read_text()
    assert summary.index("Without a result") < summary.index("## Jobs")
    for number, job in found.items():
        assert job.reason in summary
        text = (directory(folder, number) / "traceback.txt").read_text()
        assert "The log ends with" in text if number == 2 else "Traceback" in text
    assert "killed by SIGABRT" in (folder / "summary.csv").read_text()
    assert "killed by SIGABRT" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_a_failed_job_makes_the_exit_code_and_fail_fast_stops(run_job, tmp_path):
    outcome = run_job("fetch", "-m", "source.limit=0,3")
    assert outcome.code == 1 and "job 0 failed: ConfigError" in outcome.err
    assert "job 1 finished after" in outcome.err and "sweep: 1 failed, 1 finished" in outcome.err
    assert outcome.out == "", "a sweep speaks on one stream"
    said = [line for line in outcome.err.splitlines() if re.search(r"job \d|sweep:", line)]
    assert len(said) == 6 and all(re.match(r"\d\d:\d\d:\d\d ", line) for line in said), "in one format"
    assert [job.state for job in jobs(sweeps(tmp_path)[0]).values()] == ["failed", "finished"]
    stopped = run_job("fetch", "-m", "source.limit=0,3", "fail_fast=true")
    assert stopped.code == 1
    found = jobs(sweeps(tmp_path)[1])
    assert [job.state for job in found.values()] == ["failed", "skipped"]
    assert found[1].reason == "fail_fast: job 0 failed"
    assert run_job("fetch", "-m", "source.limit=3,4").code == 0


@pytest.mark.parametrize("wrong", ["trainer.devices=2", "trainer.devices=[0,1]", "trainer.devices=-1"])
def test_several_devices_under_a_sweep_are_refused_before_any_work(run_job, wrong):
    outcome = run_job("train", "-m", wrong, "seed=1")
    assert outcome.code == 1
    assert "one process on one device" in outcome.err and "without -m" in outcome.err
    assert "fetch:" not in outcome.err


def test_several_nodes_under_a_sweep_are_refused_too(run_job):
    assert "one process on one device" in run_job("train", "-m", "+trainer.num_nodes=2", "seed=1").err


def test_a_wrong_option_stops_a_sweep_before_its_first_job(run_job, tmp_path):
    outcome = run_job("train", "-m", "+experiment=mild,moderte")
    assert outcome.code == 2 and "Did you mean moderate?" in outcome.err
    assert not list((tmp_path / "outputs").glob("sweeps/*/sweep.json"))


@pytest.mark.slow
def test_shards_of_one_stage_are_a_sweep(photos, tiny_weights, tmp_path):
    words = ["-m", *chain_overrides(photos, tiny_weights), "shard.index=range(0,2)", "shard.count=2"]
    sweep = start(tmp_path, "enhance", *words, "hydra.launcher.n_jobs=2")
    assert sweep.wait() == 0, (tmp_path / "out.txt").read_text()
    assert [job.state for job in jobs(sweeps(tmp_path)[0]).values()] == ["finished"] * 2
    said = (tmp_path / "out.txt").read_text()
    for step in ("enhance mild", "enhance raw"):
        made = [int(line.split(f"{step}: ")[1].split()[0]) for line in said.splitlines() if f"{step}: " in line]
        assert len(made) == 2 and sum(made) == 12 and min(made) > 0, (step, made)
        assert all(any(f"[{job}] {step}: " in line for line in said.splitlines()) for job in (0, 1)), "whose line it is"
    assert all(f"job {job} began on " in said and f"job {job} finished after" in said for job in (0, 1))
    manifests = [read_manifest(file.parent) for file in (tmp_path / "data" / "enhanced").glob("*/manifest.json")]
    assert [len(manifest.items) for manifest in manifests] == [12, 12]


@pytest.mark.slow
def test_a_job_that_is_told_to_stop_saves_and_goes_on(photos, tiny_weights, tmp_path):
    words = ["-m", *small(photos, tiny_weights), "trainer.max_epochs=25", "seed=1"]
    words.remove("trainer.max_epochs=1")
    launcher = ["hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.gpus_per_node=0"]
    sweep = start(tmp_path, "train", *words, *launcher)
    try:
        last = until(lambda: list((tmp_path / "outputs").rglob("checkpoints/last.ckpt")))[0]
        job = running_pid(tmp_path, ())
        submitit = int((open(f"/proc/{job}/stat").read().split(")")[1].split())[1])  # noqa: PTH123, SIM115
        for pid in (job, submitit):  # as SLURM does before it takes the machine away: every process of the step
            os.kill(pid, signal.SIGUSR2)
        assert sweep.wait() == 0, (tmp_path / "out.txt").read_text()
    finally:
        if sweep.poll() is None:
            kill_group(sweep)
    [done] = jobs(sweeps(tmp_path)[0]).values()
    run_dir = last.parent.parent
    assert done.state == "finished" and directory(sweeps(tmp_path)[0], 0) == run_dir
    assert json.loads((run_dir / "run.json").read_text())["tries"] == 2
    assert "job 0 is queued again" in (tmp_path / "out.txt").read_text()
    epochs = [float(line) for line in _rows(run_dir, "epoch")]
    assert set(epochs) == set(range(25))  # the rows of both tries are in one file


def _rows(run_dir, column):
    import csv

    with (run_dir / "csv" / "metrics.csv").open() as lines:
        return [row[column] for row in csv.DictReader(lines) if row[column]]
