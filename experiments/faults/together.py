"""Several at once: writers, shards, users, readers, and one that has stopped while it holds a lock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

from kills import prepare, undisturbed
from place import Place, Skipped, fork, outcome, same


def writers(place: Place, job: str, n: int) -> None:
    """Several of the same job at once: all end well, the outcome is that of one."""
    _, expected = undisturbed(place, job)
    prepare(place, job)
    started = [place.start(job) for _ in range(n)]
    for process in started:
        process.wait().succeeded()
    same(outcome(place, job), expected)


def shards(place: Place) -> None:
    """Two shards enhance side by side, one is killed once: the stage is that of one job."""
    _, expected = undisturbed(place, "enhance")
    prepare(place, "enhance")
    started = [place.start("enhance", f"shard.index={index}", "shard.count=2") for index in (0, 1)]
    time.sleep(0.5)
    started[1].signal(signal.SIGKILL)
    started[1].wait()
    started[0].wait().succeeded()
    place.job("enhance", "shard.index=1", "shard.count=2").succeeded()
    place.job("enhance").succeeded()
    same(outcome(place, "enhance"), expected)


def trainings(place: Place) -> None:
    """The same training twice at once: one trains, the other waits for its numbers."""
    prepare(place, "train")
    started = [place.start("train") for _ in range(2)]
    ended = [process.wait().succeeded() for process in started]
    (run,) = (place.root / "outputs/train").iterdir()
    assert json.loads((run / "run.json").read_text())["tries"] == 1
    assert sum("waiting for another process" in one.said for one in ended) <= 1


def skipping(place: Place) -> None:
    """busy=skip leaves a run to the process that trains it, with exit code 75."""
    prepare(place, "train")
    first = place.start("train")
    first.says("training RefinementUNet")
    place.job("train", "busy=skip").refused("Another process works on this run", code=75)
    first.wait().succeeded()


def two_users(place: Place, is_open: bool) -> None:
    """Two users on one data directory: they share it where it is open to both, else it is said who may not write."""
    if os.getuid() != 0:
        raise Skipped("only root can be two users")
    for folder in (place.root, place.shared, place.shared.parent):
        folder.chmod(0o755 if folder != place.root else 0o777)

    def fetch_and_degrade(uid: int) -> int:
        from jewelenh.config import Source
        from jewelenh.degradation.run import degrade
        from jewelenh.errors import JewelenhError
        from jewelenh.sources import fetch

        os.setgroups([])
        os.setgid(20_000)
        os.setuid(uid)
        os.umask(0o002 if is_open else 0o022)
        source = Source(kind="folder", root=place.photos)
        try:
            raw = fetch(source, 42, place.data)
            print(f"user {uid}: {degrade(raw, LEVEL(), 42, place.data, workers=1).n_made} made")
        except JewelenhError as error:
            print(f"{type(error).__name__}: {error}")
            return 1
        return 0

    first = fork(lambda: fetch_and_degrade(20_001), place.root).wait().succeeded()
    assert "8 made" in first.said
    second = fork(lambda: fetch_and_degrade(20_002), place.root).wait()
    if is_open:
        assert "0 made" in second.succeeded().said
    else:
        second.refused("Permission denied", "fix:")


def LEVEL() -> object:  # noqa: N802
    """Return the level `mild`."""
    import yaml

    from jewelenh.config import parse
    from jewelenh.degradation.levels import Degradation
    from jewelenh.job import CONF_DIR

    return parse(Degradation, yaml.safe_load((CONF_DIR / "degradation/mild.yaml").read_text()), "degradation")


def into_one_output(place: Place) -> None:
    """Two predictions into one folder at once: every photo is whole, and the outcome is that of one."""
    writers(place, "predict", 2)


def photo_vanishes(place: Place) -> None:
    """A photo is deleted after the index and before it is degraded: it is a failure, the rest is made."""
    photos = place.own_photos()

    def patch() -> None:
        from jewelenh.degradation import run

        real = run._make_in_threads

        def vanish(*arguments: object) -> None:
            (photos / "rings/p2.png").unlink()
            real(*arguments)

        run._make_in_threads = vanish

    place.job("degrade", patch=patch).refused("rings/p2.png", "1 of 8 failed", "the others are finished and kept")
    place.job("degrade").succeeded()


def photos_arrive(place: Place) -> None:
    """Photos arrive between two runs: only they are made, and none that was there changes."""
    photos = place.own_photos()
    place.job("degrade").succeeded()
    stage = place.stage("degraded")
    before = {path: path.stat().st_mtime_ns for path in stage.rglob("*.png")}
    shutil.copy(photos / "rings/p0.png", photos / "rings/new.png")
    assert "1 made, 8 there" in place.job("degrade").succeeded().said
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def stopped_holder(place: Place) -> None:
    """A job that was stopped holds its lock: another says for whom it waits, and goes on when it is killed."""
    _, expected = undisturbed(place, "pair")
    prepare(place, "pair")
    (place.data / "pairs").mkdir()

    def hold() -> None:
        from jewelenh import stage

        real = stage.Stage.commit

        def commit(self: object, stems: object) -> object:
            print("stopping", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            return real(self, stems)

        stage.Stage.commit = commit

    holder = place.start("fetch", patch=hold)
    holder.says("stopping")
    waiting = place.start("pair")
    waiting.says("waiting for another process")
    holder.signal(signal.SIGKILL)
    holder.wait()
    waiting.wait().succeeded()
    same(outcome(place, "pair"), expected)


def reader_beside_writer(place: Place) -> None:
    """An evaluation reads pairs while another level's are written beside them: both end well."""
    place.copy_chain()
    writing = place.start("pair", "degradation=severe")
    place.job("evaluate").succeeded()
    writing.wait().succeeded()


def growing(place: Place) -> None:
    """A set grows by half: few photos change their side of the split, none between val and test."""
    photos = place.own_photos()
    place.job("pair").succeeded()
    before = _sides(next((place.data / "pairs").iterdir()))
    import cv2
    from place import draw_ring

    for number in range(100, 104):
        (photos / f"rings/q{number}.png").write_bytes(cv2.imencode(".png", draw_ring(number))[1].tobytes())
    place.job("pair").succeeded()
    (after,) = [sides for path in (place.data / "pairs").iterdir() if len(sides := _sides(path)) == 12]
    moved = [f"{photo} from {before[photo]} to {after[photo]}" for photo in before if after[photo] != before[photo]]
    assert len(moved) <= 2 and not [text for text in moved if "train" not in text], moved


def _sides(directory: Path) -> dict[str, str]:
    items = json.loads((directory / "manifest.json").read_text())["items"]
    return {item["stem"]: item["record"]["split"] for item in items}


def ranks(place: Place, dies: str) -> None:
    """Two ranks train; one dies: the job ends, the record says so, and the same command goes on."""
    import subprocess
    import sys

    prepare(place, "train")
    words = [word for word in place.words("train") if word not in {"trainer=cpu"}]
    words += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    repo = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    with (place.root / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jewelenh.train", *words, "trainer.max_epochs=400"],
            cwd=place.root, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    until = time.monotonic() + 240
    try:
        while not list(place.root.glob("outputs/train/*/checkpoints/last.ckpt")):
            assert process.poll() is None and time.monotonic() < until, (place.root / "log.txt").read_text()[-400:]
            time.sleep(0.2)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        (rank,) = [int(pid) for pid in children.stdout.split() if _is_rank(int(pid))]
        os.kill(rank if dies == "second" else process.pid, signal.SIGKILL)
        code = process.wait(120)
        assert code != 0
        until = time.monotonic() + 120
        while Path(f"/proc/{rank}").exists() and not _is_zombie(rank):
            assert time.monotonic() < until, "the other rank lives on"
            time.sleep(0.5)
    except subprocess.TimeoutExpired:
        raise AssertionError("hangs: the first rank waits for the one that died") from None
    finally:
        process.kill()
        process.wait()
    (run,) = (place.root / "outputs/train").iterdir()
    last = run / "checkpoints/last.ckpt"
    import torch

    assert torch.load(last, weights_only=True)["epoch"] >= 0
    if dies == "second":
        assert json.loads((run / "run.json").read_text())["state"] == "failed"


def _is_rank(pid: int) -> bool:
    return b"jewelenh" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def ray(place: Place) -> None:
    """A sweep on a local Ray cluster has one job that fails: the others finish, and the sweep says which failed."""
    import importlib.util

    if importlib.util.find_spec("ray") is None:
        raise Skipped("Ray is not installed")
    words = [*place.words("fetch"), "-m", "source.limit=0,3", "hydra/launcher=ray", "hydra.launcher.remote.num_gpus=0"]
    words += ["hydra.launcher.remote.num_cpus=1", "+hydra.launcher.init.num_cpus=2"]
    words += ["+hydra.launcher.init.include_dashboard=false"]
    ended = _as_command(place, "fetch", words, RAY_TMPDIR="/tmp", RAY_AUTH_MODE="disabled")
    ended.refused("job 0 failed", "source.limit")
    assert (place.data / "raw").is_dir()


def sweep(place: Place) -> None:
    """A sweep has a job that fails and one that is killed: the others finish, and the sweep says which did not."""
    ended = _as_command(place, "fetch", [*place.words("fetch"), "-m", "source.limit=0,3,5"])
    ended.refused("job 0 failed", "source.limit")
    assert (place.data / "raw").is_dir()


def slurm(place: Place) -> None:
    """A batch that SLURM cancels is a stopped job."""
    import subprocess

    try:
        subprocess.run(["sinfo"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        raise Skipped("no SLURM cluster answers here") from error
    words = [*place.words("fetch"), "-m", "source.limit=0,3", "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0"]
    _as_command(place, "fetch", words).refused("job 0 failed")


def _as_command(place: Place, job: str, words: list[str], **environment: str) -> object:
    import subprocess
    import sys

    from place import Ended

    repo = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", f"jewelenh.{job}", *words], cwd=place.root, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(repo), **environment}, timeout=280,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout + done.stderr)
