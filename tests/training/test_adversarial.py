"""The adversarial parts: sizes of the networks, a training in which both sides move, a start from trained weights."""

import functools
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from torchvision.models.vgg import cfgs, make_layers

from jewelenh.config import Data
from jewelenh.errors import CheckpointError, ConfigError, TrainingError, WeightsError
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.plugins import build
from jewelenh.refinement.checkpoint import describe, read_checkpoint
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.networks import RefinementCNN
from jewelenh.refinement.weights import start_network
from jewelenh.training.adversarial import AdversarialModule, AdversarialSettings, PatchDiscriminator
from jewelenh.training.callbacks import warm_average
from jewelenh.training.perceptual import LAYERS, PerceptualLoss

SETTINGS = "jewelenh.training.adversarial.AdversarialSettings"
NODE = {"_target_": "jewelenh.refinement.networks.RefinementUNet", "features": 4, "fold": 2, "blocks": 1, "depth": 1}


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_study_s_discriminator_has_its_size():
    judge = PatchDiscriminator(normalise=True, spectral=False)
    assert n_parameters(judge) == 2_764_737
    assert judge(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_spectral_norm_bounds_the_gain_of_every_layer():
    torch.manual_seed(0)
    judge = PatchDiscriminator(8)
    for _ in range(30):  # the power iteration moves in training
        judge(torch.rand(1, 3, 64, 64))
    weights = [layer.weight.detach() for layer in judge.layers if isinstance(layer, torch.nn.Conv2d)]
    assert all(float(torch.linalg.matrix_norm(w.flatten(1), 2)) == pytest.approx(1, abs=0.05) for w in weights)


class Fit:
    def __init__(self, pairs, folder, epochs=2, lr=1e-3, callbacks=(), **settings):
        torch.manual_seed(0)
        self.network = build(NODE, "model.network")
        config = {"enhancer": {"name": "compact"}, "degradation": {"name": "mild"}}
        adam = functools.partial(torch.optim.Adam, lr=lr)
        chosen = {"delay_steps": 4, "r1_every": 2, "adversarial_weight": 0.1, **settings}
        self.module = AdversarialModule(
            self.network, PixelLoss(1.0, 0.5), adam, discriminator=PatchDiscriminator(4),
            settings=AdversarialSettings(**chosen), discriminator_optimizer=adam,
            about=lambda: describe(NODE, config, pairs.directory),
        )  # fmt: skip
        self.start = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.data = PairsDataModule(Data(), pairs.directory, workers=0)
        last = ModelCheckpoint(folder, "best", "val/psnr_db", mode="max", save_last=True)
        self.trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[*callbacks, last])  # fmt: skip

    def fit(self, resume=None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.trainer.fit(self.module, datamodule=self.data, ckpt_path=resume, weights_only=True)
        return self

    def moved(self, prefix):
        """Return whether parameters moved; the vectors of the spectral norm move with every look."""
        names = [name for name, _ in self.module.named_parameters() if name.startswith(prefix)]
        return any(not torch.equal(self.module.state_dict()[name], self.start[name]) for name in names)


def test_both_sides_move_and_the_checkpoint_is_the_network_s(pairs, tmp_path):
    fit = Fit(pairs, tmp_path, callbacks=[WeightAveraging(avg_fn=warm_average(0.9))]).fit()
    values = {name: float(value) for name, value in fit.trainer.callback_metrics.items()}
    assert {
        "train/adversarial",
        "train/discriminator",
        "train/r1",
        "train/discriminator_accuracy",
        "val/gain_db",
    } <= set(values)
    assert 0 <= values["train/discriminator_accuracy"] <= 1 and values["train/r1"] >= 0
    assert fit.moved("network.") and fit.moved("discriminator.")
    restored = read_checkpoint(tmp_path / "last.ckpt").network()
    assert set(restored.state_dict()) == set(fit.network.state_dict())


@pytest.mark.parametrize(("every", "weight"), [(1, 1.0), (8, 1.0), (8, 0.25)])
def test_a_penalty_that_comes_seldom_weighs_as_much_as_one_at_every_batch(every, weight, monkeypatch):
    torch.manual_seed(0)
    judge, adam = PatchDiscriminator(4), functools.partial(torch.optim.Adam, lr=1e-3)
    settings = AdversarialSettings(r1_every=every, r1_weight=weight)
    module = AdversarialModule(
        build(NODE, "model.network"),
        PixelLoss(1.0, 0.5),
        adam,
        discriminator=judge,
        settings=settings,
        discriminator_optimizer=adam,
    )
    parts = {}
    monkeypatch.setattr(module, "_log_parts", lambda found, n: parts.update(found))
    monkeypatch.setattr(type(module), "_n_batches", 0)
    targets, pictures = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    judge.eval()  # the power iteration of the spectral norm rests
    loss = float(module._discriminator_loss(pictures, targets).detach())
    real = targets.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(real).mean(dim=(1, 2, 3)).sum(), real)
    penalty = float(slope.flatten(1).norm(dim=1).square().mean())
    assert float(parts["r1"].detach()) == pytest.approx(penalty, rel=1e-4)
    assert loss - float(parts["discriminator"].detach()) == pytest.approx(weight * every * penalty / 2, rel=1e-2)


def test_before_its_time_the_discriminator_rests(pairs, tmp_path):
    fit = Fit(pairs, tmp_path, epochs=1, delay_steps=1000).fit()
    assert fit.moved("network.") and not fit.moved("discriminator.")
    assert "train/adversarial" not in fit.trainer.callback_metrics


def test_a_resumed_run_equals_an_unbroken_one(pairs, tmp_path):
    whole = Fit(pairs, tmp_path / "whole", epochs=3).fit()
    Fit(pairs, tmp_path / "part", epochs=2).fit()
    again = Fit(pairs, tmp_path / "part", epochs=3).fit(tmp_path / "part" / "last.ckpt")
    assert again.trainer.global_step == whole.trainer.global_step
    expected = whole.module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.module.state_dict().items())


def test_a_nan_or_infinite_loss_ends_the_run(pairs, tmp_path):
    fit = Fit(pairs, tmp_path, lr=1e30, gradient_clip=None)
    with pytest.raises(TrainingError, match="The loss is"):
        fit.fit()


def test_a_start_from_a_trained_network_and_from_another(pairs, tmp_path):
    fit = Fit(pairs, tmp_path, epochs=1).fit()
    fresh = build(NODE, "model.network")
    start_network(fresh, NODE, "after", str(tmp_path / "last.ckpt"), tmp_path)
    assert all(torch.equal(value, fit.network.state_dict()[name]) for name, value in fresh.state_dict().items())
    with pytest.raises(CheckpointError, match="cannot start") as caught:
        start_network(RefinementCNN(8), NODE, "after", str(tmp_path / "last.ckpt"), tmp_path)
    assert "RefinementCNN" in str(caught.value) and "RefinementUNet {'features': 4" in str(caught.value)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory) -> Path:
    """A VGG19 with random weights; nobody's are needed to test that ours loads and differentiates it."""
    torch.manual_seed(0)
    features = make_layers(cfgs["E"])
    file = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, file)
    return file


@pytest.mark.slow
def test_the_perceptual_loss_is_the_weighted_l1_of_vgg_s_features(vgg):
    loss = PerceptualLoss(vgg)
    generator = torch.Generator().manual_seed(1)
    refined, target = (torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    assert float(loss(target, target)) == 0
    refined.requires_grad_(True)
    value = loss(refined, target)
    value.backward()
    assert refined.grad is not None and refined.grad.abs().sum() > 0
    plain = make_layers(cfgs["E"])  # the same by hand: one fresh pass to each layer
    weights = torch.load(vgg, weights_only=True)
    plain.load_state_dict({name.removeprefix("features."): tensor for name, tensor in weights.items()})
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = 0.0
    with torch.no_grad():
        for layer, weight in LAYERS.items():
            a, b = (plain[: layer + 1](((x + 1) / 2 - mean) / std) for x in (refined, target))
            expected += weight * float((a - b).abs().mean())
    assert float(value.detach()) == pytest.approx(expected, rel=1e-4)


def test_without_the_weights_of_vgg_the_fix_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda *_, **__: (_ for _ in ()).throw(OSError("no net"))
    )
    with pytest.raises(WeightsError, match="cannot be had") as caught:
        PerceptualLoss()
    assert "perceptual_weight=0" in str(caught.value) and "no net" in str(caught.value)
    (tmp_path / "other.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"other\.pth"):
        PerceptualLoss(tmp_path / "other.pth")


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match=r"(?s)model\.adversarial.*r1_every=0"):
        build({"_target_": SETTINGS, "r1_every": 0}, "model.adversarial")
    with pytest.raises(ConfigError, match=r"delay_steps=-1"):
        build({"_target_": SETTINGS, "delay_steps": -1}, "model.adversarial")
