"""PSNR and SSIM once more, by scikit-image, and how far the two are apart.

What matches: PSNR of the 8-bit pictures with data_range=255. SSIM with gaussian_weights=True, sigma=1.5 (so an 11 x 11
window), use_sample_covariance=False, data_range=255, channel_axis=2, on pictures mirrored by 5 pixels at their borders
first: ours (and torchmetrics') mirrors and averages every pixel, scikit-image averages where the whole window lies
inside. Without the mirrored border scikit-image gives its own value, which is shown as `ssim_inside`.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import Any

import numpy as np

from jewelenh.errors import ConfigError
from jewelenh.evaluation.protocol import Evaluation
from jewelenh.images import Pixels
from jewelenh.metrics import PSNR_CEILING_DB

BORDER_PX = 5
SSIM_SETTINGS: dict[str, Any] = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 255,
    "channel_axis": 2,
}


class SkimageCheck:
    """Recomputes what it sees, by name of the picture (`input` or a checkpoint) and by stem."""

    def __init__(self) -> None:
        if importlib.util.find_spec("skimage") is None:
            raise ConfigError("against=skimage needs scikit-image.", fix="pip install scikit-image")
        self.values: dict[str, dict[str, dict[str, float]]] = {}

    def see(self, name: str, stem: str, image: Pixels, target: Pixels) -> None:
        """Recompute one picture's values."""
        self.values.setdefault(name, {})[stem] = recompute(image, target)

    def compare(self, evaluations: list[Evaluation]) -> dict[str, Any]:
        """Return per picture and metric: the mean here and there, and the largest difference of one photo."""
        rows = [("input", {score.stem: score.input for score in evaluations[0].photos})]
        rows += [(run.name, {score.stem: score.refined for score in run.photos}) for run in evaluations]
        table = []
        for name, ours in rows:
            theirs = self.values[name]
            for metric, own in (("psnr_db", "psnr_db"), ("ssim", "ssim"), ("ssim_inside", "ssim")):
                apart = [abs(theirs[stem][metric] - ours[stem][own]) for stem in ours]
                table.append(
                    {
                        "picture": name,
                        "metric": metric,
                        "here": float(np.mean([values[own] for values in ours.values()])),
                        "skimage": float(np.mean([theirs[stem][metric] for stem in ours])),
                        "largest_difference": float(np.max(apart)),
                    }
                )
        return {"version": f"scikit-image {version('scikit-image')}", "settings": settings_in_words(), "rows": table}


def recompute(image: Pixels, target: Pixels) -> dict[str, float]:
    """Return PSNR in dB and both SSIMs of (H, W, 3) uint8 pictures by scikit-image."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    with np.errstate(divide="ignore"):  # equal pictures: infinite, and so at the ceiling
        psnr = float(peak_signal_noise_ratio(target, image, data_range=255))
    border = ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0))
    mirrored = [np.pad(pixels, border, mode="reflect") for pixels in (image, target)]
    return {
        "psnr_db": min(psnr, PSNR_CEILING_DB),
        "ssim": float(structural_similarity(*mirrored, **SSIM_SETTINGS)),
        "ssim_inside": float(structural_similarity(image, target, **SSIM_SETTINGS)),
    }


def settings_in_words() -> dict[str, str]:
    """Return which settings match ours, and which do not."""
    same = ", ".join(f"{key}={value}" for key, value in SSIM_SETTINGS.items())
    return {
        "psnr_db": "peak_signal_noise_ratio(target, image, data_range=255): the same definition",
        "ssim": f"structural_similarity({same}) on pictures mirrored by {BORDER_PX} px: the same definition",
        "ssim_inside": f"structural_similarity({same}): scikit-image's own border, only windows wholly inside",
    }
