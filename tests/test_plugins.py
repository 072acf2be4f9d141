"""Parts named by `_target_`: a wrong name or value of an argument is said with its key before anything is made."""

import pytest
import torch
from omegaconf import OmegaConf

from jewelenh.errors import ConfigError
from jewelenh.plugins import attempt, build

UNET = "jewelenh.refinement.networks.RefinementUNet"
LOSS = "jewelenh.refinement.losses.PixelLoss"
TRAINER = "pytorch_lightning.Trainer"


@pytest.mark.parametrize(
    ("key", "node", "words"),
    [
        ("model.loss", {"_target_": LOSS, "l1_weight": -1}, ["Invalid model.loss", "l1_weight", "-1"]),
        ("model.network", {"_target_": UNET, "features": "abc"}, ["model.network.features = 'abc'", "a whole number"]),
        ("model.network", {"_target_": UNET, "features": [8]}, ["model.network.features = [8]", "a whole number"]),
        ("model.network", {"_target_": UNET, "features": 4.5}, ["model.network.features = 4.5"]),
        ("model.network", {"_target_": UNET, "featurs": 4}, ["model.network.featurs", "Did you mean features?"]),
        ("model.network", {"_target_": UNET + "s"}, ["model.network._target_", "Did you mean RefinementUNet?"]),
        ("model.network", {"_target_": "my_nets.Mine"}, ["model.network._target_", "my_nets", "PYTHONPATH"]),
        ("model.network", {"features": 4}, ["model.network._target_: a value is needed"]),
        ("model.loss", {"_target_": "torch.nn.L1Loss", "reduktion": "sum"}, ["Did you mean reduction?"]),
        (
            "trainer",
            {"_target_": TRAINER, "max_epochs": "abc"},
            ["trainer.max_epochs = 'abc'", "a whole number or null"],
        ),
        ("trainer", {"_target_": TRAINER, "precision": "bf16-mixd"}, ["Did you mean bf16-mixed?"]),
        ("trainer", {"_target_": TRAINER, "accelerator": "cup"}, ["Invalid trainer.", "cup"]),
        ("model.optimizer", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": "x"}, ["model.optimizer.lr"]),
        ("model.optimizer", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": float("nan")}, ["lr = nan"]),
        (
            "callbacks.average",
            {
                "_target_": "pytorch_lightning.callbacks.WeightAveraging",
                "avg_fn": {"_target_": "jewelenh.training.callbacks.warm_average", "decay": "often"},
            },
            ["callbacks.average.avg_fn.decay = 'often'", "a number"],
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key(key, node, words):
    with pytest.raises(ConfigError) as caught:
        build(OmegaConf.create(node), key)
    for word in words:
        assert word in str(caught.value)


def test_everything_that_is_wrong_is_said_together():
    with pytest.raises(ConfigError) as caught:
        build({"_target_": UNET, "features": "abc", "fold": None, "blocs": 1}, "model.network")
    assert all(f"model.network.{name}" in str(caught.value) for name in ("features", "fold", "blocs"))


def test_parts_are_made_with_plain_lists_and_given_objects():
    loss = build(OmegaConf.create({"_target_": "torch.nn.L1Loss"}), "model.loss")
    assert isinstance(loss, torch.nn.L1Loss)
    node = OmegaConf.create({"_target_": "builtins.dict", "_partial_": True, "betas": [0.5, 0.9]})
    assert type(attempt(build(node, "x"), "x")["betas"]) is list
    callbacks = [object()]
    assert build({"_target_": "builtins.dict"}, "x", callbacks=callbacks)["callbacks"] is callbacks
    assert build(None, "model.scheduler") is None


def test_an_optimiser_that_refuses_its_numbers_is_said_with_its_key():
    make = build({"_target_": "torch.optim.Adam", "_partial_": True, "lr": -1.0}, "model.optimizer")
    with pytest.raises(ConfigError, match=r"Invalid model\.optimizer") as caught:
        attempt(make, "model.optimizer", [torch.nn.Parameter(torch.zeros(1))])
    assert "-1.0" in str(caught.value)


def test_values_that_fit_are_left_alone():
    trainer = {"_target_": TRAINER, "accelerator": "cpu", "devices": [0], "logger": False, "precision": "32-true"}
    network = build({"_target_": UNET, "features": 4, "fold": 2, "blocks": 1, "depth": 1, "residual_scale": 1}, "n")
    assert network.fold == 2
    with pytest.raises(ConfigError, match="Invalid trainer"):  # refused by Lightning itself: a CPU has no number
        build(trainer, "trainer")
    assert build({**trainer, "devices": 1}, "trainer", callbacks=[]).num_devices == 1
