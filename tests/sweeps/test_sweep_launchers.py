"""Launchers beyond the built-in one, and the search that goes on."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps_drawn import jobs, small, start, sweeps

from jewelenh.errors import PrunedError
from jewelenh.reporting.sweep import search_tables

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
    found = jobs(sweeps(tmp_path)[0])
    assert [job.state for job in found.values()] == ["failed", "finished"]
    assert "job 0 failed: ConfigError" in (tmp_path / "out.txt").read_text()
    assert (tmp_path / "data" / "raw").is_dir()


@pytest.mark.parametrize("launcher", ["local", "slurm", "ray"])
def test_launchers_compose(run_job, launcher):
    outcome = run_job("train", f"hydra/launcher={launcher}", "--cfg", "hydra")
    assert outcome.code == 0, outcome.err
    assert re.search(r"  launcher:\n(    .*\n)*?    _target_: hydra_plugins\.", outcome.out)


SBATCH = """#!/bin/sh
cp "$1" {folder}/batch.sh
{answer}
"""


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Put an sbatch, an srun and a squeue on the path that answer as they are told."""

    def install(sbatch, squeue="exit 1"):
        tools = {
            "sbatch": SBATCH.format(folder=tmp_path, answer=sbatch),
            "srun": "#!/bin/sh",
            "squeue": f"#!/bin/sh\n{squeue}",
        }
        (tmp_path / "bin").mkdir()
        for name, text in tools.items():
            (tmp_path / "bin" / name).write_text(text)
            (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return install


@pytest.mark.parametrize(
    ("answer", "key"),
    [("invalid partition specified: gpuu", "partition"), ("Invalid generic resource (gres)", "gpus_per_node")],
)
def test_a_refused_batch_is_one_message_with_the_setting_to_change(run_job, fake_slurm, tmp_path, answer, key):
    fake_slurm(f"echo 'sbatch: error: {answer}' >&2; exit 1")
    outcome = run_job("fetch", "-m", "source.limit=3,4", "hydra/launcher=slurm", "hydra.launcher.partition=gpuu")
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert answer in outcome.err and f"fix:      change hydra.launcher.{key}" in outcome.err
    batch = (tmp_path / "batch.sh").read_text()
    for line in ("--gpus-per-node=1", "--partition=gpuu", "--requeue", "--signal=USR2@120", "--array=0-1%2"):
        assert line in batch


def test_without_gpus_none_are_asked_for(run_job, fake_slurm, tmp_path):
    fake_slurm("exit 1")
    run_job("fetch", "-m", "source.limit=3,4", "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0")
    batch = (tmp_path / "batch.sh").read_text()
    assert "--gpu" not in batch and "--gres" not in batch and "--cpus-per-task=8" in batch


def test_a_job_that_slurm_cancels_is_over_and_one_that_is_queued_again_has_not(
    run_job, fake_slurm, tmp_path, monkeypatch
):
    """Job 0 is cancelled; job 1 is lost with its node, queued again, and finishes."""
    from hydra_plugins.hydra_jewelenh import launchers

    finish = (
        "from jewelenh.sweeps.record import change_job; from pathlib import Path; "
        f"change_job(next(Path('{tmp_path}/outputs/sweeps').iterdir()), 1, state='finished')"
    )
    states = f"""echo x >> {tmp_path}/asked
n=$(wc -l < {tmp_path}/asked)
echo '7_0|CANCELLED|None'
if [ $n -lt 3 ]; then echo '7_1|NODE_FAIL|None'; elif [ $n -lt 9 ]; then echo '7_1|PENDING|PartitionConfig'
else {sys.executable} -c "{finish}"; echo '7_1|COMPLETED|None'; fi"""
    fake_slurm("echo Submitted batch job 7", states)
    monkeypatch.setattr(launchers, "ASK_EVERY_S", 0.2)
    monkeypatch.setattr(launchers, "GONE_S", 2.0)
    outcome = run_job("fetch", "-m", "source.limit=3,4", "hydra/launcher=slurm")
    assert outcome.code == 1
    found = jobs(sweeps(tmp_path)[0])
    assert found[0].state == "stopped" and "CANCELLED" in found[0].reason
    assert found[1].state == "finished" and "sweep: 1 finished, 1 stopped" in outcome.err
    assert outcome.err.count("SLURM says why: PartitionConfig") == 1


class Launcher:
    """Runs trials by a function of lr: a number, or an error that it raises."""

    n_at_once = 1

    def __init__(self, objective):
        self.objective, self.seen = objective, []

    def launch(self, job_overrides, initial_job_idx):
        from hydra.core.utils import JobReturn, JobStatus

        returns = []
        for overrides in job_overrides:
            values = dict(override.split("=") for override in overrides)
            self.seen.append(float(values["lr"]))
            one = JobReturn(status=JobStatus.COMPLETED)
            try:
                one.return_value = self.objective(float(values["lr"]))
            except ValueError:
                pass
            except PrunedError:
                one.is_pruned = True
            returns.append(one)
        return returns


def search(tmp_path, objective, n_trials, n_jobs=None):
    """Run a search over lr; return what was tried."""
    from omegaconf import OmegaConf

    from hydra_plugins.hydra_jewelenh.search import OptunaSweeper

    database = f"sqlite:///{tmp_path}/searches/s.db"
    found = OptunaSweeper(optuna.samplers.TPESampler(seed=1), "maximize", "s", database, n_trials, n_jobs)
    found.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}, "fail_fast": False})
    found.launcher = Launcher(objective)
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
    assert after[:2] == before[1::2], "what failed and what broke off come first"
    assert len(set(before + after)) == 6, "no other value is drawn twice"
    assert search(tmp_path, lambda lr: lr, n_trials=6) == []
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/searches/s.db")
    assert study.best_value == max([before[0], before[2], *after])
    assert not list(tmp_path.glob(".process-*")), "nobody searches"


SEARCHER = """
import sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/.."]
from test_sweep_launchers import search
def objective(lr):
    time.sleep(0.2)
    return lr
print(*search(Path(sys.argv[1]), objective, n_trials=10, n_jobs=2))
"""


@pytest.mark.slow
def test_two_processes_share_one_search_and_neither_takes_the_others_trials(tmp_path):
    command = [sys.executable, "-c", SEARCHER, str(tmp_path), str(Path(__file__).parent)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    tried = [[float(word) for word in process.communicate()[0].split()] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(map(len, tried)) == 10 and len({*tried[0], *tried[1]}) == 10
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/searches/s.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 10


def test_pruned_trials_count_and_are_not_tried_again_and_the_page_shows_what_mattered(tmp_path):
    def objective(lr):
        if lr < 0.003:
            raise PrunedError("behind")
        return lr

    seen = search(tmp_path, objective, n_trials=8)
    assert len(seen) == 8 and min(seen) < 0.003 < max(seen)
    assert search(tmp_path, objective, n_trials=8) == []
    mattered, trials = search_tables(tmp_path)
    assert [entry.text for entry in mattered.rows[0]] == ["lr", str(max(seen)), "1.00"]
    assert f"trial {seen.index(max(seen))};" in mattered.caption
    assert [len(trials.rows), trials.rows[0][2].text, trials.rows[-1][1].text] == [8, f"{max(seen):.4f}", "pruned"]


@pytest.mark.slow
def test_a_training_reports_to_its_trial_and_is_stopped(photos, tiny_weights, tmp_path):
    words = [
        "hparams_search=optuna", *small(photos, tiny_weights), "hydra.sweeper.n_trials=2", "search=s",
        "callbacks.prune.pruner._target_=optuna.pruners.ThresholdPruner", "~callbacks.prune.pruner.n_startup_trials",
        "callbacks.prune.pruner.n_warmup_steps=0", "+callbacks.prune.pruner.lower=1000",
    ]  # fmt: skip
    words.remove("+experiment=mild")
    started = start(tmp_path, "train", *words)
    assert started.wait() == 0, (tmp_path / "out.txt").read_text()
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/outputs/searches/s.db")
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 2
    assert all(list(trial.intermediate_values) == [1] for trial in study.trials)
    folder = tmp_path / "outputs" / "searches" / "s"
    assert {job.state for job in jobs(folder).values()} == {"pruned"} and (folder / "report.html").is_file()
    last = list((tmp_path / "outputs" / "train").glob("*/checkpoints/last.ckpt"))
    assert len(last) == 2, "each can go on"


def test_the_search_space_is_written_as_hydra_writes_sweeps():
    from hydra_plugins.hydra_jewelenh.search import search_space

    words = [
        "a=choice(x,'y z')",
        "b=range(1,8,2)",
        "c=interval(0.1,1)",
        "d=int(tag(log,interval(1,100)))",
        "c=3",
        "e=4",
    ]
    space, fixed = search_space([*words, "f=range(0,1,0.25)", "g=1,2"])
    assert space == {
        "a": optuna.distributions.CategoricalDistribution(["x", "y\\ z"]),
        "b": optuna.distributions.IntDistribution(1, 7, step=2),
        "d": optuna.distributions.IntDistribution(1, 100, log=True),
        "f": optuna.distributions.FloatDistribution(0, 0.75, step=0.25),
        "g": optuna.distributions.CategoricalDistribution(["1", "2"]),
    }
    assert fixed == ["c=3", "e=4"], "the last word on a key counts"


def test_the_search_maximises_the_gain_in_validation(run_job):
    shown = run_job("train", "hparams_search=optuna", "--cfg", "all")
    assert shown.code == 0, shown.err
    for line in ("objective: val/gain_db", "direction: maximize", "mode: MULTIRUN", "hydra_jewelenh.search"):
        assert line in shown.out
    for key in ("model.optimizer.lr", "model.loss.l1_weight", "model.loss.mse_weight", "model.network.residual_scale"):
        assert f"{key}:" in shown.out
        assert run_job("train", f"{key}=0.5", "--cfg", "job").code == 0, "the default model has it"
    assert "search: custom-mild" in run_job("train", "hparams_search=optuna", "--cfg", "job", "--resolve").out
