"""Plots: equal numbers give equal bytes, names are text, and nothing in them reaches out of the page."""

import re

import pytest

from jewelenh.evaluation.scores import PhotoScore, ScoreTable
from jewelenh.metrics import METRICS
from jewelenh.reporting.plots import Line, chart, gains_plot, scatter_plot

PSNR = METRICS["psnr_db"]
NAME = 'a <b> "c" $x$ \' & id="d"'


def table(*gains: float) -> ScoreTable:
    return ScoreTable(
        tuple(
            PhotoScore(f"{NAME} {n}", str(n), {"input": {"psnr_db": 20.0 + n}, "refined": {"psnr_db": 20.0 + n + gain}})
            for n, gain in enumerate(gains)
        )
    )


@pytest.fixture
def drawn():
    tables = {"one": table(0.5, 1.0, -0.2, 0.5), NAME: table(0.1, 0.2, 0.3, 0.4)}

    def draw() -> dict[str, str]:
        return {
            "gains": gains_plot(PSNR, tables, "gains"),
            "scatter": scatter_plot(PSNR, tables, "scatter"),
            "chart": chart(NAME, [Line(NAME, ((1, -0.2), (2, 0.4)), 0), Line("two", ((1, 0.1),), 1, "2 2")], "c"),
        }

    return draw


def test_equal_numbers_give_equal_bytes(drawn):
    assert drawn() == drawn()


def test_ids_are_one_plots_own_and_all_that_is_referred_to_is_there(drawn):
    ids = [
        re.findall(r'\bid="([^"]*)"', svg.replace(" id=&quot;d&quot;", "").replace('id="d"', ""))
        for svg in drawn().values()
    ]
    every = [name for found in ids for name in found]
    assert len(every) == len(set(every))
    for name, svg in drawn().items():
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= set(every), name


def test_names_are_text_and_nothing_is_loaded(drawn):
    for name, svg in drawn().items():
        assert "<b>" not in svg and "http" not in svg and "<a " not in svg and "<style" not in svg, name
        assert svg.startswith("<svg viewBox=") and svg.endswith("</svg>")


def test_every_photo_is_a_dot_with_its_name_and_gain(drawn):
    shown = drawn()
    assert shown["gains"].count("<title>") == shown["scatter"].count("<title>") == 8
    assert "−0.20 dB</title>" in shown["gains"] and "var(--s1)" in shown["gains"]
    assert shown["gains"].count("fill: var(--card)") == 1, "the one photo that got worse is hollow"


def test_a_chart_goes_to_the_right_and_up():
    svg = chart("curve", [Line("one", ((1, -0.2), (2, 0.4)), 0)], "key")
    path = re.search(r"<title>one: 0.4</title>\s*<path d=\"M ([\d.]+) ([\d.]+)\s+L ([\d.]+) ([\d.]+)", svg)
    assert path is not None
    x0, y0, x1, y1 = map(float, path.groups())
    assert x0 < x1 and y0 > y1
