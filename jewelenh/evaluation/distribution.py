"""FID (Heusel et al., 2017): how far apart two sets of pictures are, by the means and covariances of their features.

It compares sets, not pairs, and a covariance of 2,048 features needs thousands of pictures: on fewer the value says
more about their number than about them. So it is computed above `MIN_PHOTOS` photos only.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from jewelenh.errors import WeightsError
from jewelenh.evaluation.perceptual import cached_file
from jewelenh.images import Pixels

MIN_PHOTOS = 1000
FILE_NAME = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE_NAME}"

Features = npt.NDArray[np.float64]


class Fid:
    """Collects Inception features by name as pictures come by, and compares every set with that named `target`."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()
        self.features: dict[str, list[npt.NDArray[np.float32]]] = {}

    @torch.inference_mode()
    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Take a picture of the set `name`; the targets are collected with the inputs."""
        self._collect(name, image)
        if name == "input":
            self._collect("target", target)

    def _collect(self, name: str, image: Pixels) -> None:
        batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        (found,) = self.network(batch)
        self.features.setdefault(name, []).append(found[0].float().numpy())

    def distances(self) -> dict[str, float]:
        """Return the distance of each set to the targets."""
        target = np.stack(self.features["target"]).astype(np.float64)
        return {
            name: frechet_distance(np.stack(found).astype(np.float64), target)
            for name, found in self.features.items()
            if name != "target"
        }


def find_fid(n_photos: int, weights: Path | None = None) -> tuple[Fid | None, str]:
    """Return FID and how it is made, or None and why it is left out.

    Raises:
        WeightsError: `weights` is given and cannot be used.
    """
    if n_photos <= MIN_PHOTOS:
        few = f"FID is left out: {n_photos} photos; on {MIN_PHOTOS} or fewer it measures their number more than them"
        return None, few
    if importlib.util.find_spec("torch_fidelity") is None:
        return None, "FID is left out: torch-fidelity is not installed: pip install 'jewelenh[fid]'"
    file = weights.expanduser() if weights else cached_file(FILE_NAME)
    if file is None:
        return None, f"FID is left out: Inception's weights are not on this machine: inception_weights=<{URL}>"
    return Fid(inception(file)), f"FID of 2,048 Inception features (torch-fidelity, {file.name})"


def inception(file: Path) -> nn.Module:
    """Return the network of the reference implementation: uint8 (B, 3, H, W) to ((B, 2048),)."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        # torch-fidelity unpickles freely; what this accepts holds nothing but tensors.
        torch.load(file, map_location="cpu", weights_only=True)
        network: Any = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(file))
    except Exception as error:  # OSError, UnpicklingError, RuntimeError, KeyError: all mean the file
        found = " ".join(str(error).split())[:200]
        raise WeightsError(
            "The file holds no Inception weights for FID.", where=file, expected=FILE_NAME, found=found, fix=URL
        ) from error
    return network  # type: ignore[no-any-return]


def frechet_distance(first: Features, second: Features) -> float:
    """Return the Fréchet distance between two normal distributions with the means and covariances of (N, F) features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); the trace of the root through the eigenvalues of C1^(1/2) C2 C1^(1/2),
    which are real and not negative.
    """
    means = first.mean(axis=0), second.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ two @ root).clip(min=0)).sum()
    apart = float(((means[0] - means[1]) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * shared)
    return max(apart, 0.0)
