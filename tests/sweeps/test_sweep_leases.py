"""GPUs and cores: never more than one process each, and free again when it is gone."""

import json
import os
import subprocess
import sys

import pytest

from jewelenh.errors import ConfigError
from jewelenh.sweeps.gpus import Gpu, visible_gpus
from jewelenh.sweeps.leases import Share, leased

TAKE = """
import json, os, sys
from pathlib import Path
from jewelenh.sweeps.gpus import visible_gpus
from jewelenh.sweeps.leases import leased
folder, n_gpus, n_cores = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for turn in range(5):
    with leased(visible_gpus(n_gpus), [0, 1, 2, 3], n_cores, folder) as share:
        names = [share.gpu.entry] if share.gpu else share.cores
        held = [folder / f"held-{name}" for name in names]
        for file in held:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL))   # fails where another process is inside
        print(json.dumps([share.environment(), os.getpid()]))
        for file in held:
            file.unlink()
"""


def run_six(folder, n_gpus, n_cores):
    command = [sys.executable, "-c", TAKE, str(folder), str(n_gpus), str(n_cores)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    outs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    return [json.loads(line)[0] for out in outs for line in out.splitlines()]


@pytest.mark.slow
def test_six_processes_on_two_gpus_never_share_one(tmp_path):
    turns = run_six(tmp_path, 2, 1)
    assert len(turns) == 30
    assert {turn["CUDA_VISIBLE_DEVICES"] for turn in turns} <= {"0", "1"}
    assert {turn["JEWELENH_CORES"] for turn in turns} <= {"0,1", "2,3"}, "a GPU comes with its part of the cores"


@pytest.mark.slow
def test_six_processes_on_four_cores_take_three_each(tmp_path):
    turns = run_six(tmp_path, 0, 3)
    assert len(turns) == 30 and all("CUDA_VISIBLE_DEVICES" not in turn for turn in turns)
    assert all(len(turn["JEWELENH_CORES"].split(",")) == 3 for turn in turns)


def test_a_second_job_gets_the_other_gpu(tmp_path):
    gpus = visible_gpus(2)
    with leased(gpus, [0], 1, tmp_path) as first, leased(gpus, [0], 1, tmp_path) as second:
        assert {first.gpu.entry, second.gpu.entry} == {"0", "1"}
    with leased(gpus, [0], 1, tmp_path) as again:
        assert again.gpu.entry == "0"


def test_a_killed_job_gives_its_gpu_back(tmp_path):
    hold = (
        "import sys; from pathlib import Path; from jewelenh.sweeps.leases import leased\n"
        "from jewelenh.sweeps.gpus import visible_gpus\n"
        "with leased(visible_gpus(1), [0], 1, Path(sys.argv[1])): print('held', flush=True); sys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with leased(visible_gpus(1), [0], 1, tmp_path) as share:
        assert share.gpu == Gpu("0", "0")


def test_more_cores_than_there_are_means_all(tmp_path):
    with leased([], [4, 7], 64, tmp_path) as share:
        assert share.cores == (4, 7) and share.environment() == {"JEWELENH_CORES": "4,7"}


def test_only_visible_gpus_count():
    assert visible_gpus(environment={"CUDA_VISIBLE_DEVICES": ""}) == []
    assert [gpu.entry for gpu in visible_gpus(environment={"CUDA_VISIBLE_DEVICES": "3, 1"})] == ["3", "1"]
    assert [gpu.entry for gpu in visible_gpus(environment={"CUDA_VISIBLE_DEVICES": "2,-1,1"})] == ["2"]
    assert Share(Gpu("GPU-abc", "GPU-abc"), (0,), ()).environment()["CUDA_VISIBLE_DEVICES"] == "GPU-abc"


@pytest.mark.parametrize("wanted", [-1, "two", True, 1.5])
def test_a_number_of_gpus_that_is_none_is_refused(wanted):
    with pytest.raises(ConfigError, match=r"lease\.gpus"):
        visible_gpus(wanted)


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert visible_gpus(environment=dict.fromkeys(set(os.environ) - {"CUDA_VISIBLE_DEVICES"}, "")) == []
