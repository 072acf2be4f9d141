"""Processes that die: by SIGKILL at random moments and at chosen renames, by SIGTERM and Ctrl-C."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from pathlib import Path

from place import Place, outcome, same

UNDISTURBED: dict[str, tuple[float, dict[str, str]]] = {}
"""Of each job, once it was needed: how long it takes, and what it makes."""
BEFORE = {"fetch": [], "degrade": ["raw"], "enhance": ["raw", "degraded"], "pair": ["raw", "degraded", "enhanced"]}
"""Stages that a job finds, so that it is its own work that is hit."""


def prepare(place: Place, job: str) -> None:
    """Put there what comes before a job; training finds its pairs."""
    stages = BEFORE.get(job, ["raw", "degraded", "enhanced", "pairs"] if job == "train" else [])
    if stages:
        place.copy_chain(*stages)


def undisturbed(place: Place, job: str) -> tuple[float, dict[str, str]]:
    """Run a job once for all, beside the fault's place."""
    if job not in UNDISTURBED:
        own = Place(place.shared / f"undisturbed-{job}", place.shared)
        own.root.mkdir()
        prepare(own, job)
        started_s = time.monotonic()
        own.job(job).succeeded()
        UNDISTURBED[job] = time.monotonic() - started_s, outcome(own, job)
    return UNDISTURBED[job]


def at_random(place: Place, job: str, number: int = signal.SIGKILL, n_times: int = 3) -> None:
    """Kill a job at random moments, then let it end: it has made what an undisturbed one makes."""
    seconds, expected = undisturbed(place, job)
    prepare(place, job)
    for _ in range(n_times):
        process = place.start(job)
        time.sleep(place.draw.uniform(0.2, 1) * seconds)
        process.signal(number)
        ended = process.wait()
        if number == signal.SIGKILL:
            assert ended.code in {0, -signal.SIGKILL}, ended.said[-400:]
            continue
        assert ended.code in {0, 128 + number, -number}, f"exit code {ended.code}: {ended.said[-400:]}"
        assert "Traceback" not in ended.said, ended.said[-400:]
        if ended.code == 128 + number:
            assert "kept" in ended.said or "goes on from there" in ended.said, ended.said[-300:]
    place.job(job).succeeded()
    same(outcome(place, job), expected)


def at_rename(place: Place, job: str, after: bool = False) -> None:
    """Kill a job right before (or after) each of its first renames, once for each; then let it end."""
    _, expected = undisturbed(place, job)
    prepare(place, job)
    n_killed = 0
    for nth in (1, 2, 3, 5):
        n_killed += place.job(job, patch=functools.partial(kill_at_rename, nth, after)).code == -signal.SIGKILL
    assert n_killed, "no rename was met"
    place.job(job).succeeded()
    same(outcome(place, job), expected)


def kill_at_rename(nth: int, after: bool) -> None:
    """Let this process kill itself at its nth rename of a finished file."""
    left, real = [nth], os.replace

    def replace(*names: object, **options: object) -> None:
        left[0] -= 1
        if left[0] == 0 and after:
            real(*names, **options)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*names, **options)

    os.replace = replace
    Path.replace = lambda self, target: (replace(self, target), Path(target))[1]  # type: ignore[method-assign]


def at_checkpoint(place: Place) -> None:
    """Kill a training between writing last.ckpt and renaming it, in its second epoch."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")

    def patch() -> None:
        seen, real = [0], Path.replace

        def replace(self: Path, target: Path) -> Path:
            seen[0] += Path(target).name == "last.ckpt"
            if seen[0] == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, target)

        Path.replace = replace  # type: ignore[method-assign]

    assert place.job("train", patch=patch).code == -signal.SIGKILL
    ended = place.job("train").succeeded()
    assert "going on with the run" in ended.said
    same(outcome(place, "train"), expected)


def in_epoch(place: Place, number: int, words: tuple[str, ...] = ()) -> None:
    """Signal a training at a step of its second epoch; it saves there, says so, and goes on to the same end."""
    own = Place(place.root / "whole", place.shared)
    prepare(own, "train")
    own.job("train", *words).succeeded()
    prepare(place, "train")
    ended = place.job("train", *words, patch=functools.partial(signal_at_step, 4, number))
    assert ended.code == 128 + number, f"exit code {ended.code}: {ended.said[-400:]}"
    assert "Stopped by" in ended.said or number == signal.SIGINT, ended.said[-300:]
    (run,) = (place.root / "outputs/train").iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "stopped"
    place.job("train", *words).succeeded()
    same(outcome(place, "train"), outcome(own, "train"))


def signal_at_step(step: int, number: int) -> None:
    """Signal this process before the batch of a step."""
    from jewelenh.refinement.module import RefinementModule

    real = RefinementModule.training_step

    def training_step(self: RefinementModule, *arguments: object) -> object:
        if self.global_step == step and not getattr(self, "was_signalled", False):
            self.was_signalled = True
            os.kill(os.getpid(), number)
        return real(self, *arguments)

    RefinementModule.training_step = training_step  # type: ignore[method-assign]


def while_testing(place: Place) -> None:
    """SIGTERM while a training tests its checkpoint: run.json says stopped, and the same command finishes."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")

    def patch() -> None:
        from jewelenh.training import run

        def stopped(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

        run.open_checkpoints = stopped

    ended = place.job("train", patch=patch)
    assert ended.code == 143, f"exit code {ended.code}: {ended.said[-300:]}"
    (run,) = (place.root / "outputs/train").iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "stopped"
    place.job("train").succeeded()
    same(outcome(place, "train"), expected)


def while_preparing(place: Place) -> None:
    """SIGTERM while a training makes its pairs: 143, a word, and the same command finishes."""
    _, expected = undisturbed(place, "train")

    def patch() -> None:
        from jewelenh.pairs import writer

        real = writer._write_all

        def stopped(*arguments: object) -> object:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
            return real(*arguments)

        writer._write_all = stopped

    ended = place.job("train", patch=patch)
    assert ended.code == 143, f"exit code {ended.code}: {ended.said[-300:]}"
    assert "kept" in ended.said, ended.said[-300:]
    place.job("train").succeeded()
    same(outcome(place, "train"), expected)


def crash(place: Place) -> None:
    """A training that crashes in its second epoch is failed on the record, and the same command goes on from there."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")

    def patch() -> None:
        from jewelenh.refinement.module import RefinementModule

        real = RefinementModule.training_step

        def training_step(self: RefinementModule, *arguments: object) -> object:
            if self.global_step == 4:
                raise RuntimeError("a cosmic ray")
            return real(self, *arguments)

        RefinementModule.training_step = training_step  # type: ignore[method-assign]

    assert place.job("train", patch=patch).code == 1
    (run,) = (place.root / "outputs/train").iterdir()
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "failed" and "cosmic" in state["reason"]
    place.job("train").succeeded()
    same(outcome(place, "train"), expected)


def at_rerun(place: Place) -> None:
    """A run that is made again is killed: the earlier result is whole, moved aside, and the new one is finished."""
    _, expected = undisturbed(place, "train")
    run = place.copy_run()
    before = (run / "checkpoints/best.ckpt").read_bytes()
    place.job("train", "rerun=true", patch=functools.partial(kill_at_rename, 4, False))
    (aside,) = [path for path in run.parent.iterdir() if ".before-" in path.name]
    assert (aside / "checkpoints/best.ckpt").read_bytes() == before
    place.job("train").succeeded()
    same(outcome(place, "train"), expected)


def again_and_again(place: Place) -> None:
    """A training is killed once in every epoch; the number of tries is on the record."""
    _, expected = undisturbed(place, "train")
    prepare(place, "train")
    for step in (1, 4, 7):
        place.job("train", patch=functools.partial(signal_at_step, step, signal.SIGKILL))
    place.job("train").succeeded()
    (run,) = (place.root / "outputs/train").iterdir()
    assert json.loads((run / "run.json").read_text())["tries"] == 4
    same(outcome(place, "train"), expected)
