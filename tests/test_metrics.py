"""Metrics against scikit-image, closed forms and published values."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from jewelenh import metrics

# Sharma, Wu, Dalal (2005), table 1: pairs of CIELAB colours and their CIEDE2000.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
]


@pytest.fixture
def two() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    second = np.clip(first.astype(int) + rng.integers(-30, 31, first.shape), 0, 255).astype(np.uint8)
    return first, second


def batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255


def test_psnr_by_closed_form_and_skimage(two):
    flat = torch.zeros(1, 3, 8, 8)
    assert float(metrics.psnr_db(flat + 0.1, flat)[0]) == pytest.approx(20.0, abs=1e-5)  # -10 log10(0.1^2)
    assert float(metrics.psnr_db(flat, flat)[0]) == metrics.PSNR_CEILING_DB
    expected = peak_signal_noise_ratio(two[1], two[0], data_range=255)
    assert float(metrics.psnr_db(batch(two[0]), batch(two[1]))[0]) == pytest.approx(expected, abs=1e-5)


def test_psnr_is_per_photo():
    target = torch.zeros(2, 3, 8, 8)
    image = target + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert metrics.psnr_db(image, target).tolist() == pytest.approx([20.0, 40.0], abs=1e-4)


def test_ssim_is_that_of_skimage_with_the_papers_window(two):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    mirrored = [np.pad(pixels / 255, ((5, 5), (5, 5), (0, 0)), mode="reflect") for pixels in two]
    expected = structural_similarity(*mirrored, channel_axis=2, **options)
    assert float(metrics.ssim(batch(two[0]), batch(two[1]))[0]) == pytest.approx(expected, abs=1e-7)
    assert float(metrics.ssim(batch(two[0]), batch(two[0]))[0]) == pytest.approx(1.0)


def test_ssim_on_white_ground_is_exact_from_32_bits_too():
    rng = np.random.default_rng(1)
    white = np.full((96, 96, 3), 252, np.uint8)
    noisy = np.clip(white + rng.normal(0, 1.2, white.shape), 0, 255).round().astype(np.uint8)
    mirrored = [np.pad(pixels, ((5, 5), (5, 5), (0, 0)), mode="reflect") for pixels in (white, noisy)]
    expected = structural_similarity(
        *mirrored, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    found = float(metrics.ssim(batch(white).float(), batch(noisy).float())[0])
    assert found == pytest.approx(expected, abs=2e-6)
    rough = float(structural_similarity_index_measure(batch(white).float(), batch(noisy).float(), data_range=1.0))
    assert abs(rough - expected) > 10 * abs(found - expected), "what computing in 32 bits costs"


def test_both_similarities_are_those_of_torchmetrics_in_64_bits():
    generator = torch.Generator().manual_seed(2)
    image = torch.nn.functional.avg_pool2d(torch.rand(2, 3, 184, 216, generator=generator).double(), 5, 1, 2)
    target = (image + 0.05 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    ssim = structural_similarity_index_measure(image, target, data_range=1.0, reduction="none")
    ms_ssim = multiscale_structural_similarity_index_measure(
        image, target, data_range=1.0, reduction="none", normalize="relu"
    )
    assert metrics.ssim(image, target).tolist() == pytest.approx(ssim.tolist(), abs=1e-9)
    assert metrics.ms_ssim(image, target).tolist() == pytest.approx(ms_ssim.tolist(), abs=1e-8)


def test_ms_ssim_knows_equal_and_worse():
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 176, 176, generator=rng)
    noisy = (image + 0.2 * torch.randn(image.shape, generator=rng)).clamp(0, 1)
    assert float(metrics.ms_ssim(image, image)[0]) == pytest.approx(1.0, abs=1e-5)
    assert float(metrics.ms_ssim(noisy, image)[0]) < 0.99


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_ciede2000_by_the_published_values(first, second, expected):
    a, b = (torch.tensor(lab, dtype=torch.float64).view(1, 3, 1) for lab in (first, second))
    assert float(metrics.delta_e_2000(a, b)) == pytest.approx(expected, abs=1e-4)
    assert float(metrics.delta_e_2000(b, a)) == pytest.approx(expected, abs=1e-4)


def test_ciede2000_of_pictures_is_that_of_skimage(two):
    first, second = two
    expected = deltaE_ciede2000(rgb2lab(first), rgb2lab(second)).mean()
    assert float(metrics.ciede2000(batch(first), batch(second))[0]) == pytest.approx(expected, abs=1e-3)


def test_a_picture_below_a_metrics_smallest_side_has_no_value():
    small = np.full((10, 200, 3), 100, np.uint8)
    assert set(metrics.scores_of(small, small)) == {"psnr_db", "ciede2000"}
    assert set(metrics.scores_of(small.repeat(17, axis=0), small.repeat(17, axis=0))) >= {"ssim", "ms_ssim"}


def test_numbers_are_written_with_the_digits_and_the_direction_of_their_metric():
    psnr, colour = metrics.METRICS["psnr_db"], metrics.METRICS["ciede2000"]
    assert psnr.text(-0.504, sign=True, unit=True) == "−0.50 dB" and psnr.text(-0.001, sign=True) == "0.00"
    assert colour.verdict(-0.3, -0.1) == "better" and psnr.verdict(-0.3, -0.1) == "worse"
    assert psnr.verdict(-0.1, 0.2) == "unclear" and psnr.text(float("nan")) == "-"
    assert colour.heading == "CIEDE2000 (lower is better)" and psnr.heading == "PSNR (dB)"
