"""The protocol: intervals, per-photo means, versions of one photo counted once."""

import numpy as np
import pytest

from jewelenh.evaluation.scores import Evaluation, PhotoScore, ScoreTable, bootstrap_interval, differences


def score(stem, photo, gain, colour=-0.1):
    base = {"psnr_db": 30.0, "ciede2000": 2.0}
    refined = {"psnr_db": 30.0 + gain, "ciede2000": 2.0 + colour}
    return PhotoScore(stem, photo, {"input": base, "refined": refined})


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
    table = ScoreTable((score("a", "a", 1.0), score("b", "b", 2.0), score("c", "c", -0.6, 0.2)))
    summary = table.summary
    assert summary["psnr_db"]["gain"] == pytest.approx(0.8)
    assert summary["psnr_db"]["share_improved"] == pytest.approx(2 / 3)
    assert summary["psnr_db"]["worst_gain"] == pytest.approx(-0.6)
    assert summary["ciede2000"]["share_improved"] == pytest.approx(2 / 3)
    assert summary["ciede2000"]["worst_gain"] == pytest.approx(0.2)
    assert [s.stem for s in table.ranked()] == ["b", "a", "c"]


def test_versions_of_one_photo_are_one_piece_of_evidence():
    many = tuple(score(f"a~{n}", "a", 3.0) for n in range(50))
    table = ScoreTable((*many, score("b", "b", -1.0)))
    assert table.summary["psnr_db"]["share_improved"] == pytest.approx(0.5)
    assert table.summary["psnr_db"]["gain_low"] < 0
    assert table.n_photos == 2


def test_an_evaluation_holds_a_table_for_each_reference():
    images = ("degraded", "input", "refined", "target")
    photos = tuple(
        PhotoScore(stem, stem, {image: {"psnr_db": 20.0 + n + i} for i, image in enumerate(images)})
        for n, stem in enumerate("ab")
    )
    raw = ScoreTable(photos, against="raw", baseline="degraded", also_over="input", name="raw")
    evaluation = Evaluation("test", (ScoreTable((score("a", "a", 1.0), score("b", "b", 2.0))), raw), {})
    content = evaluation.as_json()
    assert content["summary"]["psnr_db"]["gain"] == 1.5
    further = content["against"]["raw"]["summary"]["psnr_db"]
    assert (
        further["gain"] == 2.0
        and further["over_input_gain"] == 1.0
        and further["degraded"] == 20.5
        and further["target"] == 23.5
    )
    assert evaluation.numbers["psnr_db_gain"] == 1.5 and evaluation.numbers["raw_psnr_db_over_input_gain"] == 1.0
    other = Evaluation("test", evaluation.tables, {}, "other")
    assert [d.against for d in differences([evaluation, other])] == ["target", "target", "raw"]
