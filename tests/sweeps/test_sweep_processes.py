"""The local launcher's processes: one a device, told to stop with their launcher, gone with it where it is killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from jewelenh.sweeps.process import JobProcess
from jewelenh.sweeps.record import Sweep, add_jobs, read_sweep

JOB = """
import json, os, signal, sys, time
from pathlib import Path
from jewelenh.sweeps.process import follow_launcher, report, report_returned
def save(number, frame):
    Path(f"saved-{sys.argv[1]}").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
follow_launcher()
gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
os.close(os.open(f"on-{gpu}", os.O_CREAT | os.O_EXCL))      # fails where another job is on it
cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
blocked = signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])
Path(f"job-{sys.argv[1]}").write_text(json.dumps([gpu, cores, os.environ["JEWELENH_SWEEP"], blocked, os.getpid()]))
report(Path("runs", sys.argv[1]))
time.sleep(float(sys.argv[2]))
os.unlink(f"on-{gpu}")
report_returned(Path("runs", sys.argv[1]), int(sys.argv[1]) / 2)
"""

DRIVER = """
import signal, sys, time
from pathlib import Path
from hydra_plugins.hydra_jewelenh.launchers import LocalLauncher
from test_sweep_processes import jobs_in
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
launcher = LocalLauncher(gpus=["0", "1"])
launcher.job = "train"
with launcher.started(jobs_in(Path.cwd(), n_jobs=4, seconds=float(sys.argv[1]))) as are_over:
    while not are_over():
        time.sleep(0.05)
"""


def jobs_in(folder, n_jobs, seconds, **values):
    sweep_dir = folder / "sweep"
    numbers = [job.number for job in add_jobs(sweep_dir, Sweep("train", "", "", "sweep"), [()] * n_jobs)]
    commands = [(sys.executable, "-c", JOB, str(number), str(seconds)) for number in numbers]
    return [
        JobProcess(number, command, sweep_dir, folder, **values)
        for number, command in zip(numbers, commands, strict=True)
    ]


def start(folder, seconds):
    path = os.pathsep.join([os.path.dirname(__file__), f"{os.path.dirname(__file__)}/..", *sys.path])  # noqa: PTH120
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)}
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(seconds)], cwd=folder, env=environment)


def until(condition, seconds=60.0):
    end_s = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)
    return found


def said(folder):
    return {file.name: json.loads(file.read_text()) for file in folder.glob("job-*") if file.read_text()}


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_job_is_told_in_what_it_differs_from_the_others(tmp_path):
    [job] = jobs_in(tmp_path, 1, 0, varied=" (seed=1)")
    job.command = (sys.executable, "-c", "import os, sys; sys.exit(os.environ['JEWELENH_VARIED'] != ' (seed=1)')")
    assert job.run("a core").state == "finished"


def test_a_job_that_its_search_stopped_is_pruned(tmp_path):
    [job] = jobs_in(tmp_path, 1, 0)
    job.command = (
        sys.executable,
        "-c",
        "import sys; from jewelenh.errors import PrunedError as E; sys.exit(E.exit_code)",
    )
    assert job.run("a core").state == "pruned"


@pytest.mark.slow
def test_two_gpus_have_one_job_each_and_two_terminals_share_them(tmp_path):
    terminals = [start(tmp_path, 0.3), start(tmp_path, 0.3)]
    assert [terminal.wait() for terminal in terminals] == [0, 0]
    found = said(tmp_path)
    assert len(found) == 8 and {gpu for gpu, *_ in found.values()} == {"0", "1"}
    assert all(sweep == "sweep" and is_blocked for _, _, sweep, is_blocked, _ in found.values())
    jobs = read_sweep(tmp_path / "sweep").jobs
    assert [(job.state, job.returned, job.directory) for job in jobs] == [
        ("finished", number / 2, f"../runs/{number}") for number in range(8)
    ]
    assert {job.device for job in jobs} == {"GPU 0", "GPU 1"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_launcher_that_is_told_to_stop_lets_its_jobs_save(tmp_path, number):
    driver = start(tmp_path, 60)
    until(lambda: len(said(tmp_path)) == 2)
    driver.send_signal(number)
    assert driver.wait(60) != 0
    assert (tmp_path / "saved-0").exists() and (tmp_path / "saved-1").exists()
    assert [job.state for job in read_sweep(tmp_path / "sweep").jobs] == ["stopped", "stopped", "waiting", "waiting"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel for a signal when the parent dies")
def test_a_launcher_that_is_killed_takes_its_jobs_along(tmp_path):
    driver = start(tmp_path, 60)
    pids = until(lambda: len(said(tmp_path)) == 2 and [values[-1] for values in said(tmp_path).values()])
    driver.kill()
    driver.wait()
    until(lambda: all(is_gone(pid) for pid in pids))
    assert (tmp_path / "saved-0").exists() and (tmp_path / "saved-1").exists()


def test_a_killed_job_says_so_and_an_impossible_one_fails(tmp_path):
    killed, wrong = jobs_in(tmp_path, 2, 0)
    killed.command = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert killed.run("1 core").reason == "killed by SIGKILL (where nobody did that, memory ran out)"
    wrong.command = ("no-such-program",)
    assert wrong.run("1 core").state == "failed"
    skipped = jobs_in(tmp_path, 1, 0, fail_fast_from=1)[0].run("1 core")
    assert skipped.state == "skipped" and skipped.reason == "fail_fast: job 1 failed"
    assert jobs_in(tmp_path, 1, 0, fail_fast_from=2)[0].run("1 core").state == "finished", "of an earlier call"
