"""A sweep's record and the runs behind it, as the launcher and the trainings leave them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from jewelenh.sweeps.record import Sweep, SweepJob, read_sweep, write_sweep


def fake_run(sweep_dir: Path, number: int, gain_db: float | None = None, **values: object) -> Path:
    """Put a job on the record; with a gain its directory holds a tested run of two photos, with curves."""
    about = {"level": "mild", "seed": 1, "numbers": {}, "seconds": 0.0}
    about.update({key: values.pop(key) for key in list(values) if key in about})
    directory = sweep_dir.parent / "train" / str(values.pop("directory", f"run-{number}"))
    directory.mkdir(parents=True, exist_ok=True)
    sweep_dir.mkdir(parents=True, exist_ok=True)
    job = SweepJob(
        number, **{"overrides": (), "state": "finished", "directory": os.path.relpath(directory, sweep_dir), **values}
    )
    sweep = read_sweep(sweep_dir) or Sweep("train", "python -m jewelenh.train -m seed=1,2", "now", sweep_dir.name)
    write_sweep(sweep_dir, replace(sweep, jobs=(*sweep.jobs, job)))
    if job.state != "waiting":
        (directory / "run.json").write_text(json.dumps({"state": job.state, **about}))
    if gain_db is not None:
        row = {"input": 30.0, "refined": 30.0 + gain_db, "gain": gain_db, "gain_low": gain_db - 0.1, "gain_high": 9.0}
        photos = [
            {"stem": f"{name}-0", "photo": name, "input": {"psnr_db": 30.0}, "refined": {"psnr_db": 30.0 + gain_db}}
            for name in ("a", "b")
        ]
        summary = {"summary": {"psnr_db": row, "ssim": row}, "photos": photos}
        (directory / "metrics.json").write_text(json.dumps(summary))
        (directory / "csv").mkdir()
        (directory / "csv" / "metrics.csv").write_text("epoch,step,val/gain_db,train/loss_epoch\n0,3,0.1,\n0,3,,0.5\n")
    return directory
