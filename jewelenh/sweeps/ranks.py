"""Several processes that train one run together: the first one holds it, the others follow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jewelenh.errors import TrainingError
from jewelenh.refinement.runs import CHECKPOINTS, LAST
from jewelenh.sweeps.claims import RUNS, Run, by, read_state
from jewelenh.sweeps.identity import fingerprint

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")
LOOK_EVERY_S = 0.2
PATIENCE_S = 600.0


def is_follower(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether torchrun, srun or Lightning started this process beside a first one."""
    ranks = [environment.get(name, "0") for name in RANKS]
    if int(environment.get("SLURM_NTASKS", "1")) > 1:
        ranks.append(environment.get("SLURM_PROCID", "0"))
    return any(rank not in {"", "0"} for rank in ranks)


def follow(output_dir: Path, content: Mapping[str, Any], *, rerun: bool = False) -> Run:
    """Return the run as the first process of this launch found it, once that has.

    Raises:
        TrainingError: it does not say so within ten minutes.
    """
    folder = output_dir / RUNS / fingerprint(content)
    mine = by()["launch"]
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        state = read_state(folder)
        first = state.get("by", {})
        is_ours = (mine and first.get("launch") == mine) or first.get("pid") == os.getppid()
        directory = (output_dir / str(state.get("directory", ""))).resolve()
        if state.get("state") == "finished" and not rerun:
            return Run(directory, None, folder.name, True, state["numbers"], state["tries"], state["seconds"])
        if state.get("state") == "running" and is_ours:
            checkpoint = directory / CHECKPOINTS / LAST if state["resumed"] else None
            return Run(directory, checkpoint, folder.name, n_tries=state["tries"])
        time.sleep(LOOK_EVERY_S)
    raise TrainingError(
        "The first process of this training does not say where it trains.",
        where=folder,
        fix="one outputs directory that all nodes see: paths.output_dir",
    )
