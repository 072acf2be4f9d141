"""Launchers beyond the built-in one, and the search that goes on."""

import contextlib
import re

import pytest
from sweeps_drawn import notes, start, sweeps

optuna = pytest.importorskip("optuna")


@pytest.mark.slow
def test_a_sweep_runs_on_a_local_ray_cluster(tmp_path):
    pytest.importorskip("ray")
    words = [
        "-m", "source.limit=0,3", "hydra/launcher=ray", "hydra.launcher.remote.num_gpus=0",
        "hydra.launcher.remote.num_cpus=1", "+hydra.launcher.init.num_cpus=2",
        "+hydra.launcher.init.include_dashboard=false",
    ]  # fmt: skip
    sweep = start(tmp_path, "fetch", *words, RAY_TMPDIR="/tmp", RAY_AUTH_MODE="disabled")
    assert sweep.wait() == 1, (tmp_path / "out.txt").read_text()
    found = notes(sweeps(tmp_path, "fetch")[0])
    assert [note["state"] for note in found.values()] == ["failed", "finished"]
    assert "Ray runs 2 jobs" in (tmp_path / "out.txt").read_text()
    assert (tmp_path / "data" / "raw").is_dir()


@pytest.mark.parametrize("launcher", ["slurm", "ray", "joblib", "submitit_local"])
def test_launchers_compose(run_job, launcher):
    outcome = run_job("train", f"hydra/launcher={launcher}", "--cfg", "hydra")
    assert outcome.code == 0, outcome.err
    assert re.search(r"  launcher:\n(    .*\n)*?    _target_: hydra_plugins\.", outcome.out)


def test_slurm_jobs_are_queued_again_and_take_one_gpu(run_job):
    out = run_job("train", "hydra/launcher=slurm", "--cfg", "hydra", "--package", "hydra.launcher").out
    for line in ("gpus_per_node: 1", "tasks_per_node: 1", "requeue: true", "max_num_timeout: 20"):
        assert line in out


class Launcher:
    """Runs trials by a function of lr: a number, or an error that it raises."""

    def __init__(self, objective):
        self.objective, self.seen = objective, []

    def launch(self, job_overrides, initial_job_idx):
        from hydra.core.utils import JobReturn, JobStatus

        returns = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            values = dict(override.split("=") for override in overrides)
            self.seen.append((number, float(values["lr"])))
            one = JobReturn()
            try:
                one.return_value, one.status = self.objective(float(values["lr"])), JobStatus.COMPLETED
            except ValueError as error:
                one.return_value, one.status = error, JobStatus.FAILED
            returns.append(one)
        return returns


def search(tmp_path, objective, n_trials):
    """Run a search over lr; return what was tried, as (job number, lr)."""
    from omegaconf import OmegaConf

    from hydra_plugins.hydra_jewelenh._resumed_search import ResumedSearch

    database = f"sqlite:///{tmp_path}/searches/s.db"
    found = ResumedSearch(optuna.samplers.TPESampler(seed=1), "maximize", database, "s", n_trials)
    found.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    found.hydra_context, found.launcher = object(), Launcher(objective)
    with contextlib.suppress(KeyboardInterrupt):
        found.sweep(["lr=tag(log, interval(0.001, 0.1))"])
    return found.launcher.seen


@pytest.mark.slow
def test_a_search_that_broke_off_goes_on_to_the_trials_it_was_asked_for(tmp_path):
    turns = iter(["ok", "fails", "ok", "breaks"])

    def first(lr):
        turn = next(turns)
        if turn == "fails":
            raise ValueError("out of luck")
        if turn == "breaks":
            raise KeyboardInterrupt
        return lr

    before = search(tmp_path, first, n_trials=6)
    after = search(tmp_path, lambda lr: lr, n_trials=6)
    assert len(before) == 4 and len(after) == 4, "two were finished, so four were left of six"
    assert [lr for _, lr in after[:2]] == [lr for _, lr in before[1::2]], "what failed and what broke off come first"
    assert not {number for number, _ in after} & {number for number, _ in before}
    assert len({lr for _, lr in before + after}) == 6, "no other value is drawn twice"
    assert search(tmp_path, lambda lr: lr, n_trials=6) == []
    study = optuna.load_study("s", f"sqlite:///{tmp_path}/searches/s.db")
    assert study.best_value == max(lr for _, lr in [before[0], before[2], *after])


def test_the_search_maximises_the_gain_in_validation(run_job):
    shown = run_job("train", "hparams_search=optuna", "--cfg", "all")
    assert shown.code == 0, shown.err
    for line in ("objective: val/gain_db", "direction: maximize", "mode: MULTIRUN", "hydra_jewelenh.optuna_search"):
        assert line in shown.out
    for key in ("model.optimizer.lr", "model.loss.l1_weight", "model.loss.mse_weight", "model.network.residual_scale"):
        assert f"{key}:" in shown.out
        assert run_job("train", f"{key}=0.5", "--cfg", "job").code == 0, "the default model has it"
    assert "search: custom-mild" in run_job("train", "hparams_search=optuna", "--cfg", "job", "--resolve").out
