"""What jewelenh raises on purpose, so that a job can end with one readable message instead of a traceback.

JewelenhError
├── ConfigError        a key, a type or a value of the configuration
├── SourceError        no photos, no folder, no credentials
├── ImageError         one photo that cannot be read or written
├── StageError         a stage directory: busy, not writable, disk full, foreign or broken manifest
│   └── ItemsFailedError    the stage ended, some of its items did not
├── WeightsError       a weight file: missing, wrong hash, unsafe, not a super-resolution network
├── PairsError         paired tensors that break the pair contract
├── CheckpointError    a checkpoint that is none, or belongs to something else
├── TrainingError      a NaN or infinite loss, memory that ran out
├── StoppedError       a run that was asked to stop, and has saved where it is
├── PrunedError        a trial that its search calls hopeless
└── BusyError          a run that another process works on
"""

from __future__ import annotations


class JewelenhError(Exception):
    """Says what went wrong, where, what was expected, what was found, and how to fix it.

    Only the parts that are given are shown, one a line, after the first line.
    """

    exit_code = 1
    """Of the job that ends with it."""

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        fix: object = None,
    ) -> None:
        self.what, self.where, self.expected, self.found, self.fix = what, where, expected, found, fix
        parts = {"where": where, "expected": expected, "found": found, "fix": fix}
        lines = [f"  {name + ':':<10}{value}" for name, value in parts.items() if value is not None]
        super().__init__("\n".join([what, *lines]))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle whole: worker processes send these errors home."""
        return _rebuild, (type(self), self.what, {k: getattr(self, k) for k in ("where", "expected", "found", "fix")})


def _rebuild(kind: type[JewelenhError], what: str, parts: dict[str, object]) -> JewelenhError:
    return kind(what, **parts)


class ConfigError(JewelenhError):
    """A key that does not exist, a value of the wrong type or outside its range."""

    exit_code = 2


class SourceError(JewelenhError):
    """The photos themselves cannot be had."""


class ImageError(JewelenhError):
    """One photo cannot be decoded or encoded."""


class StageError(JewelenhError):
    """A stage directory cannot be trusted, locked or written."""


class ItemsFailedError(StageError):
    """A stage worked through all of its items and some failed; the others are finished and kept."""


class WeightsError(JewelenhError):
    """A weight file is missing, wrong, unsafe or not usable here."""


class PairsError(JewelenhError):
    """Paired tensors do not keep the pair contract."""


class CheckpointError(JewelenhError):
    """A checkpoint cannot be read, or was made for something else."""


class TrainingError(JewelenhError):
    """Training cannot go on as it is set."""


class StoppedError(JewelenhError):
    """A signal asked the run to stop; it has saved where it is."""

    exit_code = 143

    def __init__(self, what: str, *, exit_code: int = 143, **parts: object) -> None:
        super().__init__(what, **parts)
        self.exit_code = exit_code


class PrunedError(JewelenhError):
    """A search stopped the run, as others were better at the same epoch."""

    exit_code = 76


class BusyError(JewelenhError):
    """Another process works on the same run."""

    exit_code = 75
