"""Files that are torn, flipped, swapped, foreign or made to do harm: stages, pairs, checkpoints, weights, records."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from kills import prepare, undisturbed
from place import Ended, Place, outcome, same


class Harmful:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("pwned",)


def flip(path: Path, at: float = 0.7) -> None:
    """Change one byte of a file, at a share of its length; size and time stay."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0x55
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    """Take away the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path) -> None:
    """Put another file of the stage in the place of a file, at the size of the former where it is longer."""
    other = next(file for file in sorted(path.parent.iterdir()) if file.suffix == path.suffix and file != path)
    path.write_bytes(other.read_bytes())


SPOIL: dict[str, Callable[[Path], None]] = {"flip": flip, "cut": cut, "swap": swap, "delete": Path.unlink}


def stage_file(place: Place, kind: str, job: str, how: str) -> None:
    """A file of an earlier stage is spoilt: it is made again, or it is said that it is a stage file and how to."""
    _, expected = undisturbed(place, job)
    prepare(place, job)
    level = "mild" if kind == "enhanced" else ""
    path = place.stage(kind, level) / "rings/p2.png.png"
    SPOIL[how](path)
    ended = place.job(job)
    if ended.code:
        ended.refused(str(path), "fix:")
        assert "made again once it is removed" in ended.said, f"asks to mend a stage file: {ended.said[-300:]}"
        path.unlink(missing_ok=True)
        place.job(job).succeeded()
    same(outcome(place, job), expected)


def pair_file(place: Place, how: str, cache: str) -> None:
    """A pair's file is spoilt: it is made again, or training refuses it by name, before it trains."""
    place.copy_chain()
    path = next((place.stage("pairs") / "train").rglob("*_input.npy"))
    SPOILT_PAIRS[how](path)
    _, expected = undisturbed(place, "pair")
    ended = place.job("pair")
    assert not (place.root / "pwned").exists()
    if ended.code == 0 and outcome(place, "pair") == expected:
        return
    place.job("train", f"data.cache={cache}").refused("normalised twice" if how == "twice" else path.name)
    assert not (place.root / "pwned").exists()
    assert not list(place.root.rglob("last.ckpt"))


def _object_array(path: Path) -> None:
    np.save(path, np.array([Harmful()], object), allow_pickle=True)


def _squeezed(path: Path) -> None:
    for file in path.parents[2].rglob("*.npy"):
        np.save(file, np.load(file) / 127.5 - 1)


SPOILT_PAIRS: dict[str, Callable[[Path], None]] = {
    **SPOIL,
    "object": _object_array,
    "fortran": lambda path: np.save(path, np.asfortranarray(np.load(path))),
    "nan": lambda path: np.save(path, np.full_like(np.load(path), np.nan)),
    "range": lambda path: np.save(path, np.load(path) * 127 + 127),
    "float64": lambda path: np.save(path, np.load(path).astype(np.float64)),
    "twice": _squeezed,
}


def manifest(place: Place, how: str) -> None:
    """A manifest of pairs that was torn or changed is refused, with what to do, or what it says wrong is made again."""
    place.copy_chain()
    path = place.stage("pairs") / "manifest.json"
    content = json.loads(path.read_text())
    if how == "empty":
        path.write_text("")
    elif how == "torn":
        cut(path)
    elif how == "version":
        path.write_text(json.dumps({**content, "version": 99}))
    elif how == "settings":
        content["spec"]["level"] = "severe"
        path.write_text(json.dumps(content))
    elif how == "outside":
        content["items"][0]["files"]["input"]["path"] = "../../../photos/rings/p0.png"
        path.write_text(json.dumps(content))
    elif how == "moved":  # from train to test, by hand
        moved = next(item for item in content["items"] if item["record"]["split"] == "train")
        moved["record"]["split"] = "test"
        path.write_text(json.dumps(content))
    _, expected = undisturbed(place, "pair")
    ended = place.job("pair")
    if ended.code == 0 and outcome(place, "pair") == expected:
        return
    place.job("train").refused(path.parent.name)
    assert not list(place.root.rglob("last.ckpt"))


def journal(place: Place, content: str | None) -> None:
    """A journal of nonsense is passed over; one that is a folder is one message."""
    _, expected = undisturbed(place, "degrade")
    place.copy_chain("raw", "degraded")
    path = place.stage("degraded") / "journal-0of1.jsonl"
    if content is None:
        path.mkdir()
        place.job("degrade").refused(str(path), "fix:")
        path.rmdir()
    else:
        path.write_bytes(content.encode("latin-1"))
    place.job("degrade").succeeded()
    same(outcome(place, "degrade"), expected)


def run_record(place: Place, content: str | None) -> None:
    """A run's record is nonsense: the training is made again or goes on, and its numbers are those of ever."""
    _, expected = undisturbed(place, "train")
    run = place.copy_run()
    (run / "run.json").unlink()
    if content is None:
        (run / "run.json").mkdir()
        place.job("train").refused("run.json", "fix:")
        return
    (run / "run.json").write_text(content)
    place.job("train").succeeded()
    same(outcome(place, "train"), expected)


def last_checkpoint(place: Place, how: str) -> None:
    """A stopped run's last.ckpt is spoilt: that is said, another checkpoint is used, and the end is the same."""
    import functools
    import signal

    from kills import signal_at_step

    _, expected = undisturbed(place, "train")
    prepare(place, "train")
    assert place.job("train", patch=functools.partial(signal_at_step, 7, signal.SIGTERM)).code == 143
    (last,) = place.root.glob("outputs/train/*/checkpoints/last.ckpt")
    if how == "empty":
        last.write_bytes(b"")
    elif how == "text":
        last.write_text("hello")
    elif how == "pickle":
        last.write_bytes(pickle.dumps(Harmful()))
    else:
        cut(last)
    said = place.job("train").succeeded().said
    assert "not going on from this file" in said and "Unsafe" not in said and "weights_only" not in said, said[-500:]
    assert not (place.root / "pwned").exists()
    same(outcome(place, "train"), expected)


def checkpoint(place: Place, how: str, *words: str) -> None:
    """A checkpoint that is torn, harmful or of nothing known is refused in one message; no code of it runs."""
    path = place.root / "one.ckpt"
    content = torch.load(place.checkpoint, weights_only=True)
    about = content["jewelenh"]
    if how == "pickle":
        path.write_bytes(pickle.dumps(Harmful()))
    elif how == "zip pickle":
        torch.save({**content, "harm": Harmful()}, path)
    elif how == "torn":
        path.write_bytes(place.checkpoint.read_bytes()[:3000])
    else:
        weights, network = content["state_dict"], about["network"]
        changes = {
            "os.system": lambda: network.update({"_target_": "os.system", "command": "mkdir pwned"}),
            "subprocess": lambda: network.update(
                {"_target_": "torch.utils.model_zoo.load_url", "url": "http://127.0.0.1:9/x"}
            ),
            "a file here": lambda: network.update(_target_="planted.Network"),
            "impossible": lambda: network.update(features=-3),
            "huge": lambda: network.update(features=10**9),
            "unknown option": lambda: network.update(colour="blue"),
            "no weights": weights.clear,
            "nan": lambda: [value.fill_(float("nan")) for value in weights.values() if value.is_floating_point()],
            "version": lambda: about.update(version=99),
            "nothing": lambda: content.pop("jewelenh"),
        }
        changes[how]()
        torch.save(content, path)
    (place.root / "planted.py").write_text("import os; os.mkdir('pwned')")
    for job in ("predict", "evaluate")[: 2 if how in {"zip pickle", "a file here", "nan"} else 1]:
        ended = place.job(job, f"checkpoint={path}", PYTHONPATH=str(place.root))
        ended.refused(*words)
        assert "weights_only=False" not in ended.said, "passes on torch's advice to load unsafely"
        assert not (place.root / "pwned").exists(), "code of the checkpoint ran"
    assert not list((place.root / "restored").rglob("*.png"))


def weights(place: Place, how: str, *words: str) -> None:
    """A weight file that is none is refused in one message; no code of it runs."""
    path = place.root / "weights.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"params": Harmful()}))
    elif how == "zip pickle":
        torch.save({"params": {"a": Harmful()}}, path)
    elif how == "page":
        path.write_text("<!DOCTYPE html><title>404</title>")
    elif how == "other network":
        torch.save({"conv.weight": torch.zeros(3, 3, 3, 3)}, path)
    elif how == "nan":
        from jewelenh.enhancement import weights as registry

        found = next(Path(registry.__file__).parents[1].glob("sample/**/*.safetensors"), None) or next(
            Path(registry.__file__).parents[1].glob("sample/**/*.pth")
        )
        if found.suffix == ".pth":
            state = torch.load(found, weights_only=True)
        else:
            from safetensors.torch import load_file

            state = load_file(found)
        state = state.get("params", state)
        torch.save({"params": {key: torch.full_like(value, float("nan")) for key, value in state.items()}}, path)
    elif how == "folder":
        path.mkdir()
    place.copy_chain("raw", "degraded")
    place.job("enhance", f"enhancer.weights={path}").refused(*words)
    assert not (place.root / "pwned").exists(), "code of the weights ran"
    assert not list(place.data.glob("enhanced/*/**/*.png"))


def checkpoints_deleted(place: Place) -> None:
    """A finished run's checkpoints were deleted: `train` makes them again, so that `predict` finds them."""
    run = place.copy_run()
    shutil.rmtree(run / "checkpoints")
    place.job("train").succeeded()
    place.job("predict", "checkpoint=latest").succeeded()


def other_photos(place: Place) -> None:
    """Photos are replaced by others of equal names and sizes: that is another training."""
    import cv2
    from place import draw_ring

    photos = place.own_photos()
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        path.write_bytes(cv2.imencode(".bmp", draw_ring(number))[1].tobytes())
    place.job("train").succeeded()
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        path.write_bytes(cv2.imencode(".bmp", draw_ring(number + 50))[1].tobytes())
    assert "8 made, 0 there already" in place.job("train").succeeded().said
    assert len(list((place.root / "outputs/train").iterdir())) == 2


def prediction_record(place: Place, how: str) -> None:
    """The record of a prediction is nonsense or spoilt: photos are made again where it says nothing of them."""
    _, expected = undisturbed(place, "predict")
    place.job("predict").succeeded()
    record = place.root / "restored/.jewelenh.jsonl"
    if how == "noise":
        record.write_bytes(os.urandom(400))
    elif how == "cut":
        cut(record)
    elif how == "result":
        (place.root / "restored/rings/p2.png").write_bytes(b"")
    else:
        record.unlink()
        record.mkdir()
        place.job("predict").refused("output")
        record.rmdir()
    place.job("predict").succeeded()
    same(outcome(place, "predict"), expected)


def resumed_other(place: Place) -> None:
    """A training cannot go on from another network's checkpoint: the difference is said."""
    place.copy_chain()
    ended = place.job("train", f"ckpt_path={place.checkpoint}", "model.network.features=6")
    ended.refused("features", "4", "6")


def resumed_adversarial(place: Place) -> None:
    """An adversarial training's checkpoint does not go on as a plain one: what differs is said."""
    place.copy_chain()
    small = [
        "model=adversarial",
        "model.start=scratch",
        "model.network.features=4",
        "model.network.blocks=1",
        "model.network.depth=1",
    ]
    words = [word for word in place.words("train") if not word.startswith("experiment=")]
    ended: Ended = place.job("train", *words, *small, "trainer.max_epochs=1", alone=True).succeeded()
    (last,) = place.root.glob("outputs/train/*/checkpoints/last.ckpt")
    ended = place.job("train", f"ckpt_path={last}")
    ended.refused("adversarial")
