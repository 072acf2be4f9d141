"""Which dashboards a run is on, that a resumed run goes on there, and that its W&B run is opened late and closed."""

from __future__ import annotations

import csv
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from jewelenh.metrics import METRICS
from jewelenh.runs import is_follower

log = logging.getLogger(__name__)

RUN_ID = "wandb-id.txt"
"""In a run's directory: the W&B run that a resumed training goes on with."""


class WandbRun(WandbLogger):
    """A run on W&B, or on a server of one's own (WANDB_BASE_URL), that is opened when the training is sure to begin.

    Without a key, and where the server refuses or is silent for `wait_s`, it is kept offline (`wandb sync` uploads it).

    Args:
        save_dir: the run's directory, which keeps the id.
        artifacts: keep the tested checkpoint and the manifest of the pairs there.
        wait_s: for the server's first answer.
        settings: of `wandb.init`; those that are null are left to W&B, its environment variables included.
    """

    def __init__(self, save_dir: str, *, artifacts: bool = False, wait_s: float = 30.0, **settings: Any) -> None:
        given = {name: value for name, value in settings.items() if value is not None}
        super().__init__(save_dir=save_dir, **given)
        self.artifacts, self.wait_s = artifacts, wait_s

    def open(self, goes_on: bool) -> None:
        """Open the run: that of the earlier try where the training `goes_on`, a new one elsewhere."""
        import wandb

        file = Path(str(self.save_dir)) / RUN_ID
        given = self._wandb_init["id"] or os.environ.get("WANDB_RUN_ID")
        kept = file.read_text().strip() if goes_on and file.is_file() else None
        self._wandb_init.update(id=given or kept, settings=wandb.Settings(init_timeout=self.wait_s))
        mode = self._wandb_init.get("mode") or os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            self._go_offline("there is no key")
        try:
            run = self.experiment
        except wandb.errors.Error as error:
            self._go_offline(str(error).splitlines()[0])
            run = self.experiment
        file.write_text(f"{run.id}\n")
        for name, metric in METRICS.items():  # the runs table then ranks by the best epoch
            best = "max" if metric.higher_is_better else "min"
            run.define_metric(f"val/{name}", step_metric="trainer/global_step", summary=f"{best},last")
        run.define_metric("val/gain_db", step_metric="trainer/global_step", summary="max,last")

    def _go_offline(self, reason: str) -> None:
        self._wandb_init["mode"] = "offline"
        log.info("W&B: offline, as %s; upload later with: wandb sync <run>/wandb/offline-run-*", reason)

    def keep(self, files: Mapping[str, Path]) -> None:
        """Upload files by their kind, such as `model`, where artifacts are asked for."""
        for kind, file in files.items():
            if self.artifacts and file.is_file():
                self.experiment.log_artifact(str(file), name=f"{Path(str(self.save_dir)).name}-{kind}", type=kind)


def installed(loggers: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out, and say so, dashboards whose package is not there: they are an extra."""
    chosen = {}
    for name, node in loggers.items():
        if name in {"wandb", "tensorboard"} and importlib.util.find_spec(name) is None:
            log.warning("%s is not installed, so this run is not on it: pip install 'jewelenh[tracking]'", name)
            continue
        chosen[name] = node
    return chosen


@contextmanager
def opened(loggers: Iterable[Logger], values: dict[str, Any], goes_on: bool) -> Iterator[None]:
    """Open the dashboards, put the configuration there, and close W&B's run, or the next training would go on in it.

    Where the training `goes_on`, so do its curves: TensorBoard reads all files of a directory, W&B's id is kept, and
    the CSV's rows are put before those to come.
    """
    exit_code = 1
    try:
        for logger in loggers:
            if isinstance(logger, WandbRun) and not is_follower():
                logger.open(goes_on)
            elif isinstance(logger, CSVLogger) and not is_follower():
                _continue_csv(logger, goes_on)
            logger.log_hyperparams(values)
        yield
        exit_code = 0
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=exit_code)


def _continue_csv(logger: CSVLogger, goes_on: bool) -> None:
    """Keep the rows of the earlier try: Lightning's writer begins with deleting them."""
    file = Path(logger.log_dir) / "metrics.csv"
    rows: list[dict[str, Any]] = []
    if goes_on and file.is_file():
        with file.open(newline="", encoding="utf-8") as lines:
            rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(lines)]
        file.unlink()
    writer = logger.experiment
    writer.metrics.extend(rows)
    writer.save()


def log_results(loggers: Iterable[Logger], numbers: Mapping[str, float], step: int) -> None:
    """Put single numbers on the dashboards: on W&B into the summary, where they are columns of the runs table."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.summary.update(dict(numbers))
        else:
            logger.log_metrics(dict(numbers), step=step)
