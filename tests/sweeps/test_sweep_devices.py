"""GPUs and cores: never more than one job each, in any terminal, and free again when it is gone."""

import json
import subprocess
import sys

import pytest

from jewelenh.errors import ConfigError
from jewelenh.sweeps.devices import devices_for, held, visible_gpus

TAKE = """
import json, os, sys
from pathlib import Path
from jewelenh.sweeps.devices import devices_for, held
folder, n_gpus, n_jobs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
devices = devices_for({str(number): str(number) for number in range(n_gpus)}, n_jobs, [0, 1, 2, 3])
for turn in range(5):
    device = devices[(os.getpid() + turn) % len(devices)]
    with held(device, folder) as locks:
        files = [folder / f"inside-{name}" for name in device.locks]
        for file in files:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL))   # fails where another process is inside
        print(json.dumps([device.gpu, device.cores, len(locks)]))
        for file in files:
            file.unlink()
"""


def run_six(folder, n_gpus, *n_jobs):
    commands = [
        [sys.executable, "-c", TAKE, str(folder), str(n_gpus), str(n_jobs[turn % len(n_jobs)])] for turn in range(6)
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    outs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    turns = [json.loads(line) for out in outs for line in out.splitlines()]
    assert len(turns) == 30
    return turns


@pytest.mark.slow
def test_six_processes_on_two_gpus_never_share_one(tmp_path):
    turns = run_six(tmp_path, 2, 1)
    assert {gpu for gpu, _, _ in turns} == {"0", "1"}
    assert {tuple(cores) for _, cores, _ in turns} == {(0, 1), (2, 3)}, "a GPU comes with its part of the cores"


@pytest.mark.slow
def test_terminals_that_divide_the_cores_differently_never_share_one(tmp_path):
    turns = run_six(tmp_path, 0, 1, 2, 4)
    assert {len(cores) for _, cores, _ in turns} == {1, 2, 4} and all(gpu is None for gpu, _, _ in turns)


def test_a_killed_job_gives_its_device_back_and_a_living_one_keeps_it(tmp_path):
    [device] = devices_for({"0": "GPU-a"}, 1, [0])
    with held(device, tmp_path) as locks:
        job = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=locks)
    with held(device, tmp_path, is_over=lambda: True) as locks:
        assert locks == (), "its launcher is gone, the job is not"
    job.kill()
    job.wait()
    with held(device, tmp_path) as locks:
        assert len(locks) == 1


def test_more_jobs_than_cores_means_one_core_each():
    assert [device.cores for device in devices_for({}, 64, [4, 7])] == [(4,), (7,)]
    assert [device.cores for device in devices_for({}, 1, [4, 7, 9])] == [(4, 7, 9)]
    assert [device.name for device in devices_for({}, 2, [4, 7, 9])] == ["1 core", "1 core"]
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.n_jobs"):
        devices_for({}, 0, [1])


def test_only_visible_gpus_count(monkeypatch):
    monkeypatch.setattr("jewelenh.sweeps.devices._uuids", lambda: ["GPU-a", "GPU-b"])
    assert visible_gpus({}) == {"GPU-a": "GPU-a", "GPU-b": "GPU-b"}
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == {}
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3, 1"}) == {"3": "3", "1": "GPU-b"}, "one lock, whatever it is called"
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1,-1,0"}) == {"1": "GPU-b"}


def test_without_a_driver_there_are_no_gpus():
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert visible_gpus({}) == {}
    else:
        assert len(visible_gpus({})) == pynvml.nvmlDeviceGetCount()
