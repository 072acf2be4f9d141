"""Find a run's checkpoint by what a user types: `latest`, a run directory, or a file."""

from __future__ import annotations

from pathlib import Path

from jewelenh.errors import CheckpointError

CHECKPOINTS = "checkpoints"
BEST, LAST = "best.ckpt", "last.ckpt"


def find_checkpoint(wanted: str | Path, output_dir: Path, name: str = BEST) -> Path:
    """Return the checkpoint file `name` of the newest run below `output_dir`, of a run directory, or the file itself.

    Raises:
        CheckpointError: there is none, with the newest that exist.
    """
    if str(wanted) == "latest":
        found = _newest(output_dir, name)
        if not found:
            raise CheckpointError(
                "No run has left a checkpoint yet.",
                where=output_dir,
                expected=f"<run>/{CHECKPOINTS}/{name}",
                fix="train one: python -m jewelenh.train experiment=mild",
            )
        return found[0]
    path = Path(wanted).expanduser()
    for candidate in (path, path / CHECKPOINTS / name, path / name):
        if candidate.is_file():
            return candidate
    newest = "\n            ".join(str(file) for file in _newest(output_dir, name)[:5])
    raise CheckpointError(
        "There is no such checkpoint.",
        where=path,
        expected="a .ckpt file, a run directory, or latest",
        fix=f"one of these:\n            {newest}" if newest else "train one: python -m jewelenh.train experiment=mild",
    )


def _newest(output_dir: Path, name: str) -> list[Path]:
    """Return the checkpoints of all runs, that of the run which was made, or found finished, last first."""
    files = [path for path in output_dir.glob(f"**/{CHECKPOINTS}/{name}") if path.is_file()]
    return sorted(files, key=_used_ns, reverse=True)


def _used_ns(file: Path) -> int:
    state = file.parent.parent / "run.json"
    return max(path.stat().st_mtime_ns for path in (file, state) if path.is_file())
