"""Where faults are tried: drawn photos, a finished chain to copy from, and jobs as forked processes of their own.

A job is a fork of this process, which has imported everything: its own process with its own working directory,
environment, standard streams and signals, that can be killed like any other, without 4 s of imports each.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", WANDB_MODE="disabled", NO_ALBUMENTATIONS_UPDATE="1", HYDRA_FULL_ERROR="1")
os.environ.update(OMP_WAIT_POLICY="passive", OC_CAUSE="1", MPLBACKEND="Agg")

import cv2
import numpy as np
import torch

JOBS = ("fetch", "degrade", "enhance", "pair", "train", "evaluate", "predict", "export")
IMPORTED = (
    *(f"jewelenh.{job}" for job in (*JOBS, "demo", "report")),
    *("jewelenh.schemas", "jewelenh.chain", "jewelenh.degradation.run", "jewelenh.enhancement.run"),
    *("jewelenh.pairs.writer", "jewelenh.pairs.datamodule", "jewelenh.training.run", "jewelenh.evaluation.run"),
    *("jewelenh.exporting.run", "jewelenh.restoration.prediction", "jewelenh.hints", "jewelenh.sources", "spandrel"),
    *("jewelenh.pairs.check", "jewelenh.reporting.evaluation"),
)
LATER = {
    "evaluate": ("report_dir", "report"),
    "predict": ("output", "restored"),
    "export": ("output", "exported"),
}
"""Jobs that take the shared checkpoint: the key of the folder they write, and its name."""
N_PHOTOS, SIDE = 8, 48
TIMEOUT_S = 300.0


class Skipped(Exception):  # noqa: N818
    """This fault cannot be tried here, and why."""


@dataclass
class Ended:
    """How a process ended: exit code, or minus the signal, and what it said."""

    code: int
    said: str

    def succeeded(self) -> Ended:
        """Raise unless it ended well."""
        assert self.code == 0, f"exit code {self.code}: {self.said[-600:]}"
        return self

    def refused(self, *words: str, code: int | None = None) -> Ended:
        """Raise unless it ended with one message that has all of the words and is no traceback."""
        assert self.code > 0, f"exit code {self.code}: {self.said[-400:]}"
        assert code in {None, self.code}, f"exit code {self.code}, not {code}: {self.said[-400:]}"
        for bad in ("Traceback (most recent", "may be a fault of jewelenh"):
            assert bad not in self.said, self.said[-600:]
        missing = [word for word in words if word.lower() not in self.said.lower()]
        assert not missing, f"does not say {missing}: {self.said[-500:]}"
        return self


@dataclass
class Process:
    """A forked job that may be waited for or signalled."""

    pid: int
    log: Path

    def wait(self, timeout_s: float = TIMEOUT_S) -> Ended:
        """Wait for its end; one that hangs is killed, and an AssertionError."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return Ended(os.waitstatus_to_exitcode(status), self.log.read_text(errors="replace"))
            time.sleep(0.01)
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"hangs: not ended after {timeout_s:g} s: {self.log.read_text(errors='replace')[-300:]}")

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def says(self, text: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until it has said something."""
        until = time.monotonic() + timeout_s
        while text not in self.log.read_text(errors="replace"):
            assert time.monotonic() < until, f"never said {text!r}: {self.log.read_text(errors='replace')[-500:]}"
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            assert not pid, (
                f"ended with {status} before it said {text!r}: {self.log.read_text(errors='replace')[-500:]}"
            )
            time.sleep(0.01)


def fork(function: Callable[[], Any], folder: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Run a function in a process of its own, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"log-{time.monotonic_ns()}.txt"
    log.touch()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Process(pid, log)
    code = 1
    try:
        os.chdir(folder)
        os.environ.update(environment or {})
        handle = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
        code = function() or 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


@dataclass
class Place:
    """A folder for one fault, beside the finished chain that all share."""

    root: Path
    """Of the fault; empty at first."""
    shared: Path
    """photos/, data/ and outputs/ of an undisturbed `train`."""
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    photos: Path = Path()

    def __post_init__(self) -> None:
        self.photos = self.shared / "photos"

    @property
    def data(self) -> Path:
        """The stages of this fault."""
        return self.root / "data"

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of the shared run."""
        return checkpoint_of(self.shared / "outputs")

    def words(self, job: str) -> list[str]:
        """Return the command line of a job, small and on one core."""
        here = [f"paths.data_dir={self.data}", f"paths.output_dir={self.root / 'outputs'}"]
        chain = ["source=folder", f"source.root={self.photos}", "pairs.size=64", "pairs.split.near_duplicate_bits=0"]
        hardware = ["hardware.device=cpu", "hardware.precision=fp32", "hardware.workers=0"]
        train = [
            *("experiment=mild", "model.network.features=4", "model.network.blocks=1", "model.network.depth=1"),
            "model.placement=after",
            *("data.crop=32", "data.batch_size=2", "data.crops_per_photo=1", "logger=csv", "callbacks.panel=null"),
            *("trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=3", "trainer.enable_progress_bar=false"),
        ]
        if job not in LATER:
            return [*chain, *hardware, *(train if job == "train" else []), *here]
        key, folder = LATER[job]
        own = {
            "predict": [f"input={self.photos}", "scale=1", "device=cpu", *hardware[1:]],  # it has a key for the device
            "export": ["format=safetensors"],
        }
        return [f"checkpoint={self.checkpoint}", f"{key}={self.root / folder}", *own.get(job, hardware), here[1]]

    def start(
        self, job: str, *more: str, patch: Callable[[], None] | None = None, alone: bool = False, **environment: str
    ) -> Process:
        """Start a job as `python -m jewelenh.<job>`; `patch` runs first, in its process; `alone`: only these words."""
        words = list(more) if alone else [*self.words(job), *more]

        def main() -> None:
            torch.set_num_threads(1)
            if patch:
                patch()
            sys.argv = [f"jewelenh.{job}", *words]
            importlib.import_module(f"jewelenh.{job}").main()

        return fork(main, self.root, environment)

    def job(self, job: str, *more: str, **options: Any) -> Ended:
        """Run a job to its end."""
        return self.start(job, *more, **options).wait()

    def copy_chain(self, *stages: str) -> None:
        """Begin with the finished stages of the shared chain (all, or those named)."""
        for stage in stages or ("raw", "degraded", "enhanced", "pairs"):
            shutil.copytree(self.shared / "data" / stage, self.data / stage, symlinks=True)

    def copy_run(self) -> Path:
        """Begin with the shared run and its chain; return the run's directory."""
        self.copy_chain()
        shutil.copytree(self.shared / "outputs", self.root / "outputs")
        return next((self.root / "outputs/train").iterdir())

    def own_photos(self) -> Path:
        """Take a copy of the photos to spoil."""
        self.photos = Path(shutil.copytree(self.photos, self.root / "photos"))
        return self.photos

    def stage(self, kind: str, level: str = "") -> Path:
        """Return the one directory of a stage."""
        (found,) = (self.data / kind).glob(f"{level}*-*")
        return found


def checkpoint_of(outputs: Path) -> Path:
    """Return the best checkpoint of the one run below `outputs`."""
    (found,) = outputs.glob("train/*/checkpoints/best.ckpt")
    return found


def draw_ring(number: int, side: int = SIDE) -> np.ndarray:
    """Return a drawn ring on white, (side, side, 3) BGR uint8, different for every number."""
    rng = np.random.default_rng(number)
    image = np.full((side, side, 3), 250, np.uint8)
    centre = (side // 2 + int(rng.integers(-4, 5)), side // 2 + int(rng.integers(-4, 5)))
    axes = (int(rng.integers(side // 6, side // 3)), int(rng.integers(side // 6, side // 3)))
    metal = [(55, 175, 212), (200, 192, 192), (121, 110, 183)][number % 3]
    cv2.ellipse(image, centre, axes, float(rng.integers(0, 180)), 0, 360, metal, 4, cv2.LINE_AA)
    stone = tuple(int(v) for v in rng.integers(0, 200, 3))
    cv2.circle(image, (centre[0], centre[1] - axes[1]), 4 + number % 3, stone, -1, cv2.LINE_AA)
    return image


def make_shared(folder: Path) -> Path:
    """Draw the photos and run the whole chain, a training and its test once, undisturbed."""
    photos = folder / "photos"
    for number in range(N_PHOTOS):
        (photos / ("rings", "necklaces")[number % 2]).mkdir(parents=True, exist_ok=True)
        name = f"{('rings', 'necklaces')[number % 2]}/p{number}.png"
        (photos / name).write_bytes(cv2.imencode(".png", draw_ring(number))[1].tobytes())
    place = Place(folder, folder)
    place.job("train").succeeded()
    return folder


def outcome(place: Place, job: str) -> dict[str, str]:
    """Return what a job has made, file by file, as hashes; what may differ from run to run is left out."""
    if job == "train":
        return {**outcome(place, "pair"), **_trained(place.root / "outputs")}
    root = place.root / LATER[job][1] if job in LATER else place.data
    left_out = (".lock", "journal-", ".jewelenh.jsonl", "report.html", "MODEL_CARD", "log-")
    files = [file for file in sorted(root.rglob("*")) if file.is_file() and not file.name.startswith(left_out)]
    assert files, f"{job} has made nothing"
    found = {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    stray = [name for name in found if name.endswith(".tmp")]
    assert not stray, f"left behind: {stray}"
    return found


def _trained(outputs: Path) -> dict[str, str]:
    """Return the weights of the checkpoints, the epoch they are of, and the numbers of the test."""
    (run,) = [path for path in (outputs / "train").iterdir() if ".before-" not in path.name]
    found = {"numbers": json.dumps(json.loads((run / "run.json").read_text())["numbers"], sort_keys=True)}
    for name in ("best.ckpt", "last.ckpt"):
        content = torch.load(run / "checkpoints" / name, weights_only=True)
        digest = hashlib.sha256(str(content["epoch"]).encode())
        for key, value in sorted(content["state_dict"].items()):
            digest.update(key.encode() + value.numpy().tobytes())
        found[name] = digest.hexdigest()
    return found


def same(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise unless two outcomes are equal, with what differs."""
    different = sorted(key for key in {**found, **expected} if found.get(key) != expected.get(key))
    assert not different, f"differs from an undisturbed run: {different[:5]}"


@contextlib.contextmanager
def small_disk(place: Place, size: str = "64k", options: str = "") -> Iterator[Path]:
    """Mount a small file system of its own; only root can."""
    disk = place.root / "disk"
    disk.mkdir(exist_ok=True)
    asked = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "none", str(disk)]
    mounted = subprocess.run(asked, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise Skipped(f"no file system can be mounted here: {mounted.stderr.strip()[:60]}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def remount(disk: Path, options: str) -> None:
    """Change a mounted file system: its size, or to read-only."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
