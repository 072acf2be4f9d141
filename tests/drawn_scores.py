"""Checkpoints of a network of one line, so that what an evaluation should find is known by hand."""

from __future__ import annotations

from pathlib import Path

import torch
from drawn_pairs import Upstream, drawn_photo, small_pairs
from torch import Tensor, nn

from jewelenh.pairs.contract import PairsManifest
from jewelenh.refinement.checkpoint import KEY, describe


class Brighter(nn.Module):
    """Adds a constant to every value of [-1, 1]."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(float(shift)))

    def forward(self, input: Tensor, overview: Tensor | None = None) -> Tensor:
        return input + self.shift


def drawn(data_dir: Path, size: int = 32, level: str = "mild", n_photos: int = 24) -> PairsManifest:
    """Return pairs of drawn photos; one photo has three versions."""
    upstream = Upstream(data_dir / "upstream")
    for number in range(n_photos):
        photo = drawn_photo(number, (size + 8, size + 8))
        upstream.photo(f"rings/ring <{number:02d}>.jpg", photo, variants=3 if number == 7 else 1)
    return upstream.write(data_dir, small_pairs(size=size), level=level)


def drawn_alexnet(file: Path) -> Path:
    """Write an AlexNet of random features, the way torchvision publishes its own; its classifier takes no space."""
    from torchvision.models import alexnet

    torch.manual_seed(4)
    state = alexnet(weights=None).state_dict()
    torch.save({n: v if n.startswith("features.") else v.new_zeros(1).expand(v.shape) for n, v in state.items()}, file)
    return file


def checkpoint_of(file: Path, pairs_dir: Path, shift: float, **settings: object) -> Path:
    """Write a checkpoint of `Brighter` the way `jewelenh.train` does."""
    network = Brighter(shift)
    config = {"enhancer": {"name": "compact"}, "degradation": {"name": "mild"}, "seed": 42, **settings}
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    about = describe({"_target_": f"{__name__}.Brighter", "shift": shift}, config, pairs_dir)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "epoch": 1, "global_step": 10, KEY: about}, file)
    return file
