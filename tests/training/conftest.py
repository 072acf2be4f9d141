"""Pairs of drawn photos, and runs of a tiny network over them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from drawn_pairs import Upstream, drawn_photo

from jewelenh.config import Data
from jewelenh.pairs.contract import PairsManifest
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.plugins import build
from jewelenh.refinement.checkpoint import describe
from jewelenh.refinement.losses import PixelLoss
from jewelenh.refinement.module import RefinementModule
from jewelenh.schedules import warm_cosine


@pytest.fixture
def pairs(tmp_path: Path) -> PairsManifest:
    """Thirty photos of 32 pixels, about 24 of them to train on."""
    upstream = Upstream(tmp_path / "upstream")
    for number in range(30):
        upstream.photo(f"ring_{number:02d}.jpg", drawn_photo(number))
    return upstream.write(tmp_path / "data")


class Run:
    """One training run, as the job puts it together."""

    def __init__(self, pairs: PairsManifest, callbacks: Sequence[pl.Callback], epochs: int = 3, **options: Any) -> None:
        torch.manual_seed(0)
        node = {"_target_": "jewelenh.refinement.networks.RefinementUNet", "features": options.pop("features", 4)}
        node |= {"fold": 2, "blocks": 1, "depth": 1}
        network = build(node, "model.network")
        self.data = PairsDataModule(Data(batch_size=options.pop("batch_size", 4)), pairs.directory, workers=0)
        config = {"enhancer": {"name": "compact"}, "degradation": {"name": "mild"}}
        self.module = RefinementModule(
            network,
            PixelLoss(),
            functools.partial(torch.optim.Adam, lr=1e-2),
            functools.partial(warm_cosine, warm_share=0.2),
            about=lambda: describe(node, config, pairs.directory),
        )
        chosen = {"logger": False, "accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0, **options}
        self.trainer = pl.Trainer(
            max_epochs=epochs,
            callbacks=list(callbacks),
            enable_model_summary=False,
            **{"enable_checkpointing": True, "enable_progress_bar": False, **chosen},
        )

    def fit(self, resume: Path | None = None) -> dict[str, torch.Tensor]:
        """Train; return the weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.trainer.fit(self.module, datamodule=self.data, ckpt_path=resume, weights_only=True)
        return {name: value.clone() for name, value in self.module.state_dict().items()}


@pytest.fixture
def run(pairs: PairsManifest) -> Callable[..., Run]:
    return functools.partial(Run, pairs)
