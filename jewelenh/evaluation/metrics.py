"""How close a picture is to its target: one number per picture, explicit ranges, nothing inferred from the data.

Pictures are float (B, 3, H, W) RGB in [0, 1]; every function returns (B,) values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jewelenh.evaluation.structure import multi_scale, similarity

PSNR_CEILING_DB = 100.0
"""Equal pictures have an infinite PSNR; this stands for it, so that means stay finite (one grey level is 48 dB)."""
MS_SSIM_MIN_SIDE = 161
"""Five scales of an 11-pixel window need more than 160 pixels."""
LPIPS_MIN_SIDE = 63
"""AlexNet halves and pools the sides five times."""
DEFINITIONS = {
    "psnr_db": f"peak signal-to-noise ratio in dB over all three channels, peak 255, at most {PSNR_CEILING_DB:g} dB",
    "ssim": "structural similarity (Wang et al. 2004): Gaussian window 11 x 11, sigma 1.5, k1 0.01, k2 0.03, borders "
    "mirrored, mean over pixels and RGB channels",
    "ms_ssim": "multi-scale structural similarity (Wang et al. 2003): five scales, weights 0.0448 0.2856 0.3001 0.2363 "
    "0.1333, negative terms as 0",
    "ciede2000": "mean colour difference over all pixels (Sharma, Wu, Dalal 2005), sRGB under D65; lower is better",
}
"""What each number is, for the protocol."""


def psnr_db(image: Tensor, target: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio over all three channels, in dB."""
    error = (image - target).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).clamp(max=PSNR_CEILING_DB)


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al. 2004): Gaussian window of sigma 1.5, mean over RGB channels."""
    return similarity(image, target)[0].mean(dim=(1, 2, 3))


def ms_ssim(image: Tensor, target: Tensor) -> Tensor:
    """Return the multi-scale structural similarity (Wang et al. 2003), five scales; sides must exceed 160 pixels."""
    return multi_scale(image, target)


def ciede2000(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean colour difference CIEDE2000 over all pixels; about 1 is just noticeable."""
    return delta_e_2000(to_lab(image), to_lab(target)).mean(dim=(-2, -1))


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
