"""LPIPS, FID and KID: torchmetrics' own, where their weights are on this machine; nothing is downloaded here.

LPIPS wants AlexNet's ImageNet weights (233 MB), FID and KID want Inception's: from torch's download cache, or a file
you name. FID and KID compare sets, not pairs, and a covariance of 2,048 features needs thousands of pictures: on few
photos the value says more about their number than about them, so both need more than `MIN_PHOTOS`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torchmetrics
from torch import Tensor, nn

from jewelenh.errors import WeightsError
from jewelenh.images import Pixels
from jewelenh.metrics import METRICS, Metric

ALEXNET = "alexnet-owt-7be5be79.pth"
"""torchvision's ImageNet weights; the name ends with the first 8 digits of the file's SHA-256."""
ALEXNET_FIX = (
    "python -c \"import torchvision; torchvision.models.alexnet(weights='IMAGENET1K_V1')\" puts AlexNet's weights"
    " into torch's cache; or lpips_weights=<file>"
)
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"
MIN_PHOTOS = 1000
KID_SUBSET = 1000


def cached_file(name: str) -> Path | None:
    """Return a file of torch's download cache, if it is there."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    return file if file.is_file() else None


def find_lpips(weights: Path | None = None) -> tuple[Metric | None, str]:
    """Return LPIPS and how it is made, or None and why it is left out.

    Raises:
        WeightsError: `weights` is given and is no AlexNet.
    """
    file = weights.expanduser() if weights else cached_file(ALEXNET)
    if file is None:
        return None, f"LPIPS is left out: AlexNet's weights are not on this machine. To have it: {ALEXNET_FIX}"
    network, sha256 = lpips_network(file)

    def distance(image: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            return network.net(image.float(), target.float(), normalize=True).flatten().double()  # type: ignore[no-any-return]

    made = f"LPIPS 0.1 on AlexNet ({file.name}, sha256 {sha256[:16]}), torchmetrics {torchmetrics.__version__}"
    return replace(METRICS["lpips"], function=distance), f"{made}, pictures at full size"


def lpips_network(file: Path) -> tuple[Any, str]:
    """Return torchmetrics' LPIPS with AlexNet's weights from `file`, and the file's hash."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    _read_tensors(file, "AlexNet", ALEXNET, ALEXNET_FIX)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if file.name == ALEXNET and not sha256.startswith("7be5be79"):
        raise WeightsError("The file is not what its name says.", where=file, expected="7be5be79...", found=sha256[:16])
    hub_dir = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:  # torchvision reads weights from torch's cache, and only from there
        (Path(folder) / "checkpoints").mkdir()
        (Path(folder) / "checkpoints" / ALEXNET).symlink_to(file.absolute())
        try:
            torch.hub.set_dir(folder)
            return LearnedPerceptualImagePatchSimilarity("alex", normalize=True), sha256
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise _not_weights(file, "AlexNet", ALEXNET, ALEXNET_FIX, error) from error
        finally:
            torch.hub.set_dir(hub_dir)


class SetDistances:
    """Observes every picture, and says how far the whole of `input` and of each checkpoint is from the targets."""

    def __init__(self, inception: nn.Module) -> None:
        self.inception = inception.eval()
        self.features: dict[str, list[Tensor]] = {}

    @torch.inference_mode()
    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Take a picture of the set `name`; the targets are collected with the inputs."""
        for called, pixels in ((name, image), ("target", target)):
            if called != "target" or name == "input":
                batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
                found = self.inception(batch)
                features = found[0] if isinstance(found, tuple) else found
                self.features.setdefault(called, []).append(features.reshape(1, -1).float())

    def distances(self) -> dict[str, dict[str, float]]:
        """Return FID and KID by metric, then by set."""
        target = torch.cat(self.features["target"])
        found = {name: torch.cat(parts) for name, parts in self.features.items() if name != "target"}
        return {
            "fid": {name: fid(features, target) for name, features in found.items()},
            "kid": {name: kid(features, target) for name, features in found.items()},
        }


class _Identity(nn.Module):
    """Hands on features that are there already, so that FID and KID share them."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(features: Tensor, target: Tensor) -> float:
    """Return torchmetrics' FID of two sets of (N, F) features."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    return float(_updated(FrechetInceptionDistance(_Identity(target.shape[1])), features.double(), target.double()))


def kid(features: Tensor, target: Tensor) -> float:
    """Return torchmetrics' KID of two sets of (N, F) features, the mean over 100 subsets of a fixed draw."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(KID_SUBSET, len(features), len(target))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features
        torch.manual_seed(0)
        metric = KernelInceptionDistance(_Identity(target.shape[1]), subset_size=size)
        return float(_updated(metric, features.double(), target.double())[0])


def _updated(metric: Any, features: Tensor, target: Tensor) -> Any:
    metric.update(target, real=True)
    metric.update(features, real=False)
    return metric.compute()


def find_set_distances(n_photos: int, weights: Path | None = None) -> tuple[SetDistances | None, str]:
    """Return what measures FID and KID and how, or None and why they are left out.

    Raises:
        WeightsError: `weights` is given and cannot be used.
    """
    if n_photos <= MIN_PHOTOS:
        few = f"{n_photos} photos; on {MIN_PHOTOS} or fewer they measure their number more than them"
        return None, f"FID and KID are left out: {few}"
    if importlib.util.find_spec("torch_fidelity") is None:
        return None, "FID and KID are left out: torch-fidelity is not installed: pip install 'jewelenh[fid]'"
    file = weights.expanduser() if weights else cached_file(INCEPTION)
    if file is None:
        missing = "no Inception weights are on this machine"
        return None, f"FID and KID are left out: {missing}: inception_weights=<{INCEPTION_URL}>"
    made = f"torchmetrics {torchmetrics.__version__} on 2,048 features of torch-fidelity's Inception ({file.name})"
    return SetDistances(inception(file)), made


def inception(file: Path) -> nn.Module:
    """Return the network of FID's reference implementation: uint8 (B, 3, H, W) to (B, 2048)."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    _read_tensors(file, "Inception", INCEPTION, INCEPTION_URL)
    try:
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file))
    except Exception as error:  # RuntimeError, KeyError, ...: all mean the file
        raise _not_weights(file, "Inception", INCEPTION, INCEPTION_URL, error) from error


def _read_tensors(file: Path, network: str, expected: str, fix: str) -> None:
    """Refuse a file that is no dictionary of tensors: the libraries behind these metrics unpickle freely."""
    if not file.is_file():
        raise WeightsError(f"There is no such file of {network} weights.", where=file, fix=fix)
    try:
        torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # UnpicklingError, EOFError, RuntimeError, ...: all mean the file
        raise _not_weights(file, network, expected, fix, error) from error


def _not_weights(file: Path, network: str, expected: str, fix: str, error: Exception) -> WeightsError:
    found = " ".join(str(error).split())[:200]
    return WeightsError(f"The file holds no weights of {network}.", where=file, expected=expected, found=found, fix=fix)
