"""LPIPS, FID and KID: torchmetrics' own, where their weights are on this machine; nothing is downloaded here.

LPIPS wants AlexNet's ImageNet weights (233 MB), FID and KID want Inception's: from torch's download cache, or a file
you name. FID and KID compare sets, not pairs, and a covariance of 2,048 features needs thousands of pictures: on few
photos the value says more about their number than about them, so both need more than `MIN_PHOTOS`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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


@contextlib.contextmanager
def _weights(file: Path, network: str, expected: str, fix: str) -> Iterator[None]:
    """Refuse a file that is no dictionary of tensors, as the libraries behind these metrics unpickle freely."""
    if not file.is_file():
        raise WeightsError(f"There is no such file of {network} weights.", where=file, fix=fix)
    try:
        torch.load(file, map_location="cpu", weights_only=True)
        yield
    except Exception as error:  # UnpicklingError, EOFError, RuntimeError, KeyError, ...: all mean the file
        what, found = f"The file holds no weights of {network}.", " ".join(str(error).split())[:200]
        raise WeightsError(what, where=file, expected=expected, found=found, fix=fix) from error


def find_lpips(weights: Path | None = None) -> tuple[Metric | None, str]:
    """Return LPIPS and how it is made, or None and why it is left out.

    Raises:
        WeightsError: `weights` is given and is no AlexNet.
    """
    file = weights.expanduser() if weights else cached_file(ALEXNET)
    if file is None:
        return None, f"LPIPS is left out: AlexNet's weights are not on this machine. To have it: {ALEXNET_FIX}"
    network = _lpips(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    if file.name == ALEXNET and not sha256.startswith("7be5be79"):
        raise WeightsError("The file is not what its name says.", where=file, expected="7be5be79...", found=sha256)

    def distance(image: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            return network(image.float(), target.float(), normalize=True).flatten().double()  # type: ignore[no-any-return]

    made = f"LPIPS 0.1 on AlexNet ({file.name}, sha256 {sha256}), torchmetrics {torchmetrics.__version__}"
    return replace(METRICS["lpips"], function=distance), f"{made}, pictures at full size"


def _lpips(file: Path) -> nn.Module:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    hub_dir = torch.hub.get_dir()
    with _weights(file, "AlexNet", ALEXNET, ALEXNET_FIX), tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()  # torchvision reads weights from torch's cache, and only from there
        (Path(folder) / "checkpoints" / ALEXNET).symlink_to(file.absolute())
        try:
            torch.hub.set_dir(folder)
            return LearnedPerceptualImagePatchSimilarity("alex").net
        finally:
            torch.hub.set_dir(hub_dir)


def find_set_distances(n_photos: int, weights: Path | None = None) -> tuple[SetDistances | None, str]:
    """Return what measures FID and KID and how, or None and why they are left out.

    Raises:
        WeightsError: `weights` is given and is no Inception.
    """
    file = weights.expanduser() if weights else cached_file(INCEPTION)
    if n_photos <= MIN_PHOTOS:
        why = f"{n_photos} photos; on {MIN_PHOTOS} or fewer they measure their number more than them"
    elif importlib.util.find_spec("torch_fidelity") is None:
        why = "torch-fidelity is not installed: pip install 'jewelenh[fid]'"
    elif file is None:
        why = f"no Inception weights are on this machine: inception_weights=<{INCEPTION_URL}>"
    else:
        made = f"torchmetrics {torchmetrics.__version__} on 2,048 features of torch-fidelity's Inception ({file.name})"
        return SetDistances(inception(file)), made
    return None, f"FID and KID are left out: {why}"


def inception(file: Path) -> nn.Module:
    """Return the network of FID's reference implementation: uint8 (B, 3, H, W) to (B, 2048)."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    with _weights(file, "Inception", INCEPTION, INCEPTION_URL):
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file))


class SetDistances:
    """Observes every picture, and says how far the whole of `input` and of each checkpoint is from the targets."""

    def __init__(self, inception: nn.Module) -> None:
        self.inception = inception.eval()
        self.features: dict[str, list[Tensor]] = defaultdict(list)

    @torch.inference_mode()
    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Take a picture of the set `name`; the targets are collected with the inputs."""
        for called, pixels in ((name, image), ("target", target))[: 2 if name == "input" else 1]:
            batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
            self.features[called].append(self.inception(batch).reshape(1, -1).double())

    def distances(self) -> dict[str, dict[str, float]]:
        """Return torchmetrics' FID and KID (the mean over 100 subsets of a fixed draw) by metric, then by set."""
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

        sets = {name: torch.cat(parts) for name, parts in self.features.items()}
        target = sets.pop("target")
        found: dict[str, dict[str, float]] = {"fid": {}, "kid": {}}
        for name, features in sets.items():
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that KID keeps all features
                size = min(KID_SUBSET, len(features), len(target))
                # what the metrics take for pictures are features already
                fid = FrechetInceptionDistance(nn.Identity(), input_img_size=target.shape[1:])  # type: ignore[arg-type]
                kid = KernelInceptionDistance(nn.Identity(), subset_size=size)
                for metric in (fid, kid):
                    metric.update(target, real=True)
                    metric.update(features, real=False)
                torch.manual_seed(0)
                found["fid"][name], found["kid"][name] = float(fid.compute()), float(kid.compute()[0])
        return found
