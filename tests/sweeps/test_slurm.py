"""Scenarios on a real SLURM of one node, where Debian's slurm-wlm and munge are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).resolve().parents[2] / "experiments" / "slurm" / "run.py"
HAS_SLURM = all(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin") for name in ("slurmctld", "slurmd", "munged"))


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SLURM, reason="SLURM is not installed: apt-get install slurm-wlm munge")
@pytest.mark.parametrize("scenario", ["sweep", "refused", "never_starts", "killed_driver"])
def test_a_scenario_on_a_real_cluster(scenario):
    ended = subprocess.run([sys.executable, SCENARIOS, scenario], capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and f"| {scenario} |" in ended.stdout, ended.stdout + ended.stderr
