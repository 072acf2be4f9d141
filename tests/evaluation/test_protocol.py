"""The protocol: intervals, per-photo means, versions of one photo counted once."""

import numpy as np
import pytest

from jewelenh.evaluation.protocol import Evaluation, PhotoScore, bootstrap_interval


def score(stem, photo, gain, colour=-0.1):
    base = {"psnr_db": 30.0, "ciede2000": 2.0}
    return PhotoScore(stem, photo, base, {"psnr_db": 30.0 + gain, "ciede2000": 2.0 + colour})


def test_the_interval_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(1.0, 0.5, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)
    assert bootstrap_interval(values) == (low, high)


def test_equal_values_have_no_spread():
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_the_summary_by_hand():
    evaluation = Evaluation("test", (score("a", "a", 1.0), score("b", "b", 2.0), score("c", "c", -0.6, 0.2)), {})
    summary = evaluation.summary()
    assert summary["psnr_db"]["gain"] == pytest.approx(0.8)
    assert summary["psnr_db"]["share_improved"] == pytest.approx(2 / 3)
    assert summary["psnr_db"]["worst_gain"] == pytest.approx(-0.6)
    assert summary["ciede2000"]["share_improved"] == pytest.approx(2 / 3)
    assert summary["ciede2000"]["worst_gain"] == pytest.approx(0.2)
    assert [s.stem for s in evaluation.ranked()] == ["b", "a", "c"]


def test_versions_of_one_photo_are_one_piece_of_evidence():
    many = tuple(score(f"a~{n}", "a", 3.0) for n in range(50))
    evaluation = Evaluation("test", (*many, score("b", "b", -1.0)), {})
    assert evaluation.summary()["psnr_db"]["share_improved"] == pytest.approx(0.5)
    assert evaluation.summary()["psnr_db"]["gain_low"] < 0
