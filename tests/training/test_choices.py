"""The choices of a training compose, and are the parts they say."""

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from jewelenh.job import CONF_DIR, register_resolvers
from jewelenh.plugins import build

CHECKPOINTS = {"best", "last", "periodic", "stopped"}


def composed(*overrides):
    register_resolvers()
    with initialize_config_dir(config_dir=str(CONF_DIR), version_base="1.3"):
        return compose(config_name="train", overrides=["hydra.run.dir=run", *overrides], return_hydra_config=True)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("logger=wandb", {"wandb"}),
        ("logger=tensorboard", {"tensorboard"}),
        ("logger=csv", {"csv"}),
        ("logger=all", {"wandb", "tensorboard", "csv"}),
        ("logger=none", set()),
        ("callbacks=none", CHECKPOINTS),
        ("callbacks=early_stopping", {"early_stopping", "lines", "average", *CHECKPOINTS}),
        ("callbacks=model_summary", {"summary", "lines", "average", *CHECKPOINTS}),
    ],
)
def test_a_choice_brings_its_parts(choice, names):
    cfg = composed(choice)
    group = cfg[choice.split("=")[0]]
    assert set(group) >= names and (names or not group)
    if choice in {"callbacks=none", "logger=none"}:
        assert set(group) == names
    if choice.startswith("callbacks"):
        cfg.hydra.runtime.output_dir = "run"
        for name, node in group.items():
            values = OmegaConf.to_container(node, resolve=False)
            assert build({**values, **({"dirpath": "run"} if "dirpath" in values else {})}, name) is not None


@pytest.mark.parametrize("trainer", ["auto", "cpu", "gpu", "ddp"])
def test_a_trainer_says_where(trainer):
    cfg = composed(f"trainer={trainer}").trainer
    expected = {
        "auto": ("auto", "auto", None),
        "cpu": ("cpu", 1, None),
        "gpu": ("gpu", 1, None),
        "ddp": ("auto", -1, "ddp"),
    }
    assert (cfg.accelerator, cfg.devices, cfg.get("strategy")) == expected[trainer]
    assert cfg.enable_progress_bar is False and cfg.plugins


@pytest.mark.parametrize("debug", ["default", "limit", "overfit", "profile"])
def test_a_debug_run_shows_tracebacks(debug):
    cfg = composed("experiment=moderate", f"debug={debug}")
    assert cfg.traceback is True and cfg.experiment == "moderate"


def test_tags_stand_beside_the_experiment():
    assert composed("experiment=moderate", "tags=[mine]").logger.wandb.tags == ["moderate", "mine"]


def test_a_sweep_of_wandbs_agent_names_keys_that_there_are():
    asked = yaml.safe_load((CONF_DIR / "wandb_sweep.yaml").read_text(encoding="utf-8"))
    fixed = [word for word in asked["command"] if "=" in word]
    cfg = composed(*fixed, *(f"{key}={node['max']}" for key, node in asked["parameters"].items()))
    assert OmegaConf.select(cfg, "model.optimizer.lr") == 0.005 and set(cfg.logger) == {"wandb"}


def test_the_name_of_a_job_says_in_what_it_differs_from_its_sweeps_others(monkeypatch):
    monkeypatch.setenv("JEWELENH_VARIED", " (model.optimizer.lr=0.1)")
    assert composed("experiment=mild").logger.wandb.name == "mild-mild-seed42 (model.optimizer.lr=0.1)"
