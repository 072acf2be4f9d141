"""Metrics: each is one entry of `METRICS`, and every table, file, page and dashboard shows what stands there.

A metric compares pictures with their targets, float (B, 3, H, W) RGB in [0, 1], and returns (B,) values; ranges are
explicit, nothing is inferred from the data. LPIPS needs weights, FID and KID compare whole sets:
`evaluation.perceptual` has torchmetrics' own.

SSIM is our own: separable and in float64. In 32 bits its variances lose up to 3e-4 on white ground, where squares of
nearly 1 cancel out. It is 34 to 53 times faster than torchmetrics' in float64, and equal to it to 1e-16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from jewelenh.images import Pixels, to_unit

MetricFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Two float (B, 3, H, W) pictures in [0, 1] to (B,) values."""
Verdict: TypeAlias = Literal["better", "worse", "unclear"]
PSNR_CEILING_DB = 100.0
"""Equal pictures have an infinite PSNR; this stands for it, so that means stay finite (one grey level is 48 dB)."""
SIGMA_PX, RADIUS_PX = 1.5, 5
"""SSIM's Gaussian window, 11 x 11."""
C1, C2 = 0.01**2, 0.03**2
"""(k L)^2 of Wang et al. (2004) with a range L of 1."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of MS-SSIM's five scales, finest first (Wang et al. 2003)."""


@dataclass(frozen=True)
class Metric:
    """What a number means, how it is computed, and how it is written."""

    name: str
    """In files; its unit is the end of it."""
    title: str
    function: MetricFunction | None
    """None where it needs more than two pictures: weights, or a whole set."""
    digits: int
    definition: str
    """For the protocol that travels with every number."""
    unit: str = ""
    higher_is_better: bool = True
    smallest_side_px: int = 1
    """Smaller pictures have no value."""

    @property
    def heading(self) -> str:
        """Return the title with the unit, and the direction where it is not the usual one."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.title}{unit}{'' if self.higher_is_better else ' (lower is better)'}"

    def is_better(self, gain: float) -> bool:
        """Say whether a difference is in the good direction."""
        return gain > 0 if self.higher_is_better else gain < 0

    def verdict(self, low: float, high: float) -> Verdict:
        """Return `better` or `worse` for the interval of a mean difference, or `unclear` where it holds 0."""
        if low <= 0 <= high:
            return "unclear"
        return "better" if self.is_better(low) else "worse"

    def text(self, value: float, *, sign: bool = False, unit: bool = False) -> str:
        """Return a value with the digits it deserves; `sign` for differences."""
        if math.isnan(value):
            return "-"
        number = f"{value:{'+' if sign else ''}.{self.digits}f}"
        if float(number) == 0:
            number = f"{0:.{self.digits}f}"
        return number.replace("-", "−") + (f" {self.unit}" if unit and self.unit else "")

    def interval(self, low: float, high: float) -> str:
        """Return both ends of an interval of differences."""
        return "-" if math.isnan(low) else f"{self.text(low, sign=True)} to {self.text(high, sign=True)}"

    def of_pixels(self, pixels: Pixels, target: Pixels) -> float:
        """Return the value of two (H, W, 3) uint8 pictures, computed in float64; NaN where they are too small."""
        if self.function is None or min(pixels.shape[:2]) < self.smallest_side_px:
            return math.nan
        return float(self.function(as_batch(pixels).double(), as_batch(target).double())[0])


def psnr_db(image: Tensor, target: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio over all three channels, in dB."""
    error = (image - target).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).clamp(max=PSNR_CEILING_DB)


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al. 2004): Gaussian window of sigma 1.5, mean over RGB channels."""
    return similarity(image, target)[0].mean(dim=(1, 2, 3))


def ms_ssim(image: Tensor, target: Tensor) -> Tensor:
    """Return the product of SSIM's terms over five scales (Wang et al. 2003); sides must exceed 160 pixels.

    Contrast is averaged where the window lies inside, negative terms are 0.
    """
    first, second = image.double(), target.double()
    terms = []
    for _ in SCALE_WEIGHTS[:-1]:
        contrast = similarity(first, second)[1]
        inside = contrast[..., RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
        terms.append(inside.mean(dim=(1, 2, 3)))
        first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
    terms.append(similarity(first, second)[0].mean(dim=(1, 2, 3)))
    weights = torch.tensor(SCALE_WEIGHTS, dtype=torch.float64, device=image.device)
    return (torch.stack(terms, dim=1).clamp(min=0) ** weights).prod(dim=1)


def ciede2000(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean colour difference CIEDE2000 over all pixels; about 1 is just noticeable."""
    return delta_e_2000(to_lab(image), to_lab(target)).mean(dim=(-2, -1))


_ENTRIES = (
    Metric("psnr_db", "PSNR", psnr_db, 2, unit="dB", definition="peak signal-to-noise ratio in dB over all three "
           f"channels, peak 255, at most {PSNR_CEILING_DB:g} dB"),
    Metric("ssim", "SSIM", ssim, 4, smallest_side_px=2 * RADIUS_PX + 1, definition="structural similarity (Wang et al. "
           "2004): Gaussian window 11 x 11, sigma 1.5, k1 0.01, k2 0.03, borders mirrored, mean over pixels and RGB "
           "channels"),
    Metric("ms_ssim", "MS-SSIM", ms_ssim, 4, smallest_side_px=161, definition="multi-scale structural similarity (Wang "
           "et al. 2003): five scales, weights 0.0448 0.2856 0.3001 0.2363 0.1333, negative terms as 0"),
    Metric("lpips", "LPIPS", None, 4, higher_is_better=False, smallest_side_px=63, definition="learned perceptual "
           "distance (Zhang et al. 2018), version 0.1 on AlexNet, pictures at full size; lower is better"),
    Metric("ciede2000", "CIEDE2000", ciede2000, 2, higher_is_better=False, definition="mean colour difference over all "
           "pixels (Sharma, Wu, Dalal 2005), sRGB under D65; lower is better"),
    Metric("fid", "FID", None, 2, higher_is_better=False, definition="Fréchet distance (Heusel et al. 2017) between "
           "2,048 Inception features of all pictures and of all targets; lower is better"),
    Metric("kid", "KID", None, 5, higher_is_better=False, definition="kernel distance (Binkowski et al. 2018) between "
           "the same features, mean of 100 subsets; lower is better"),
)  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ENTRIES}
"""In the order of tables. To add one, add it here."""
PIXEL_METRICS = tuple(metric for metric in METRICS.values() if metric.function is not None)
"""Those that two pictures are enough for."""


def scores_of(pixels: Pixels, target: Pixels, metrics: Sequence[Metric] = PIXEL_METRICS) -> dict[str, float]:
    """Return by name the metrics that two (H, W, 3) uint8 pictures are large enough for."""
    values = {metric.name: metric.of_pixels(pixels, target) for metric in metrics}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def as_batch(pixels: Pixels) -> Tensor:
    """Return (H, W, 3) uint8 as (1, 3, H, W) float in [0, 1]."""
    return to_unit(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])


def similarity(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps (B, C, H, W) of the whole similarity and of its contrast-structure term; borders are mirrored."""
    first, second = (F.pad(p.double(), (RADIUS_PX,) * 4, mode="reflect") for p in (image, target))
    mean1, mean2 = _smooth(first), _smooth(second)
    variance = (_smooth(first * first) - mean1**2).clamp(min=0) + (_smooth(second * second) - mean2**2).clamp(min=0)
    covariance = _smooth(first * second) - mean1 * mean2
    contrast = (2 * covariance + C2) / (variance + C2)
    return (2 * mean1 * mean2 + C1) / (mean1**2 + mean2**2 + C1) * contrast, contrast


def _smooth(picture: Tensor) -> Tensor:
    """Return the Gaussian mean around every pixel that is `RADIUS_PX` away from the border, rows then columns."""
    offsets = torch.arange(-RADIUS_PX, RADIUS_PX + 1, dtype=torch.float64)
    window = torch.exp(-((offsets / SIGMA_PX) ** 2) / 2)
    shares = (window / window.sum()).tolist()
    for dim in (-1, -2):
        length = picture.shape[dim] - 2 * RADIUS_PX
        total = picture.narrow(dim, 0, length) * shares[0]
        for start, share in enumerate(shares[1:], start=1):
            total.add_(picture.narrow(dim, start, length), alpha=share)
        picture = total
    return picture


def to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB (B, 3, H, W) in [0, 1] to CIELAB under D65 (IEC 61966-2-1, CIE 15)."""
    rgb = rgb if rgb.dtype == torch.float64 else rgb.float()
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = linear.new_tensor(
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    )
    white = linear.new_tensor([0.95047, 1.0, 1.08883]).view(3, 1, 1)
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear) / white
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-12) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def delta_e_2000(first: Tensor, second: Tensor) -> Tensor:
    """Return CIEDE2000 between CIELAB (B, 3, ...) pictures (Sharma, Wu, Dalal 2005), shape (B, ...)."""
    l1, a1, b1 = first.unbind(dim=1)
    l2, a2, b2 = second.unbind(dim=1)
    mean_chroma7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - torch.sqrt(mean_chroma7 / (mean_chroma7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = _hue_deg(a1, b1), _hue_deg(a2, b2)
    grey = (c1 * c2) == 0
    turn = h2 - h1
    turn = torch.where(turn > 180, turn - 360, torch.where(turn < -180, turn + 360, turn)).masked_fill(grey, 0.0)
    d_hue = 2 * torch.sqrt(c1 * c2) * torch.sin(torch.deg2rad(turn / 2))
    total = h1 + h2
    apart = (h1 - h2).abs() > 180
    mean_hue = torch.where(apart, torch.where(total < 360, total + 360, total - 360), total) / 2
    mean_hue = torch.where(grey, total, mean_hue)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    s_l, s_c, s_h, rotation = _weights(mean_l, mean_c, mean_hue)
    light, chroma, hue = (l2 - l1) / s_l, (c2 - c1) / s_c, d_hue / s_h
    return torch.sqrt((light**2 + chroma**2 + hue**2 + rotation * chroma * hue).clamp(min=0))


def _weights(mean_l: Tensor, mean_c: Tensor, mean_hue_deg: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def cosine(degrees: Tensor) -> Tensor:
        return torch.cos(torch.deg2rad(degrees))

    h = mean_hue_deg
    t = 1 - 0.17 * cosine(h - 30) + 0.24 * cosine(2 * h) + 0.32 * cosine(3 * h + 6) - 0.20 * cosine(4 * h - 63)
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / torch.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    spread = 30 * torch.exp(-(((h - 275) / 25) ** 2))
    rotation = -2 * torch.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * torch.sin(torch.deg2rad(2 * spread))
    return s_l, s_c, s_h, rotation


def _hue_deg(a: Tensor, b: Tensor) -> Tensor:
    return torch.rad2deg(torch.atan2(b, a)) % 360
