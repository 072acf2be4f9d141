"""Scenarios on a real SLURM of one node, with tiny data; prints a table. Needs slurm-wlm, munge and the extra `sweep`.

python experiments/slurm/run.py            # all
python experiments/slurm/run.py refused    # those with this word
"""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cluster import cluster, find

ON_SLURM = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.mem_gb=0",
            "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10")  # fmt: skip


class Place:
    """A folder to work in, and a cluster."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "OMP_NUM_THREADS": "1"}

    def start(self, job: str, *words: str) -> subprocess.Popen[str]:
        """Start a sweep as a user would; what it says goes to said.txt."""
        command = [sys.executable, "-m", f"jewelenh.{job}", "-m", *words]
        with (self.folder / "said.txt").open("a") as out:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=out, stderr=out, text=True)

    def slurm(self, *words: str) -> str:
        """Return what a command of SLURM prints."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True).stdout

    @property
    def said(self) -> str:
        """Return what all sweeps said."""
        return (self.folder / "said.txt").read_text()

    def states(self) -> list[str]:
        """Return the states of the jobs of the newest sweep."""
        records = sorted((self.folder / "outputs" / "sweeps").glob("*/sweep.json"))
        return [job["state"] for job in json.loads(records[-1].read_text())["jobs"]] if records else []

    def until(self, what: Callable[[], object], seconds: float = 300.0) -> None:
        """Wait for something to be true."""
        end_s = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end_s:
                raise AssertionError(f"it did not come: {self.said[-2000:]}")
            time.sleep(0.2)


def sweep(place: Place) -> None:
    """Three jobs end, nothing warns of missing accounting, the driver says how it ended."""
    assert place.start("fetch", "source.limit=2,3,4", *ON_SLURM).wait() == 0, place.said
    assert place.states() == ["finished"] * 3
    assert "sweep: 3 finished" in place.said and "sacct" not in place.said


def refused(place: Place) -> None:
    """What the cluster does not have is one message with the setting to change, exit code 2, and no job."""
    for asked, key in {"partition=nowhere": "partition", "gpus_per_node=1": "gpus_per_node"}.items():
        before = len(place.said) if (place.folder / "said.txt").exists() else 0
        words = [*ON_SLURM, f"hydra.launcher.{asked}"]
        assert place.start("fetch", "source.limit=2,3", *words).wait() == 2, place.said
        said = place.said[before:]
        assert re.search(rf"fix: +change hydra\.launcher\.\S*.*{key}", said) and "Traceback" not in said, said
    assert place.slurm("squeue", "-h") == ""


def never_starts(place: Place) -> None:
    """What SLURM takes and can never start is said with SLURM's reason, and scancel ends the driver."""
    driver = place.start("fetch", "source.limit=2,3", *ON_SLURM, "hydra.launcher.cpus_per_task=9999")
    place.until(lambda: "SLURM says why: PartitionConfig" in place.said)
    place.slurm("scancel", "--user", getpass.getuser())
    assert driver.wait() == 1 and place.states() == ["stopped"] * 2, place.said


def killed_driver(place: Place) -> None:
    """Its jobs stay in the queue and end; the same command again ends well, and nothing is made twice."""
    first = place.start("fetch", "source.limit=2,3", *ON_SLURM)
    place.until(lambda: place.slurm("squeue", "-h") or "finished" in place.states())
    first.send_signal(signal.SIGKILL)
    first.wait()
    place.until(lambda: not place.slurm("squeue", "-h").strip())
    made = {path: path.stat().st_mtime_ns for path in place.folder.glob("data/raw/*/manifest.json")}
    assert place.start("fetch", "source.limit=2,3", *ON_SLURM).wait() == 0, place.said
    assert place.states() == ["finished"] * 2
    assert made == {path: path.stat().st_mtime_ns for path in place.folder.glob("data/raw/*/manifest.json")}


SCENARIOS = (sweep, refused, never_starts, killed_driver)


def main() -> None:
    """Run the scenarios, each in a folder of its own, on one cluster."""
    wanted = [one for one in SCENARIOS if all(word in one.__name__ for word in sys.argv[1:])]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="slurm-") as root, cluster(Path(root) / "cluster") as environment:
        version = subprocess.check_output([str(find("slurmctld")), "-V"], text=True).strip()
        print(f"{os.cpu_count()} cores, {version}\n")
        print("| scenario | what must hold | held | s |\n|---|---|---|---|")
        for scenario in wanted:
            folder = Path(root) / scenario.__name__
            folder.mkdir()
            started_s, held = time.monotonic(), "yes"
            try:
                scenario(Place(folder, environment))
            except AssertionError as error:
                held, failed = f"no: {error}", failed + 1
            print(
                f"| {scenario.__name__} | {scenario.__doc__} | {held} | {time.monotonic() - started_s:.0f} |",
                flush=True,
            )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
