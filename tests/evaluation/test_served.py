"""What is scored is what is served: against target at its size, against raw at raw's, at every level; what is gone."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from drawn_pairs import drawn_photo, small_pairs
from drawn_scores import checkpoint_of
from PIL import Image

from jewelenh.config import Enhancer, Foreign, Source, Split, parse
from jewelenh.degradation.levels import Degradation, Scoring
from jewelenh.degradation.run import degrade
from jewelenh.enhancement.run import enhance
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.errors import PairsError
from jewelenh.evaluation.run import evaluate, open_checkpoints
from jewelenh.job import CONF_DIR
from jewelenh.pairs.foreign import import_pairs
from jewelenh.pairs.writer import write_pairs
from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.reporting.card import Exported, model_card
from jewelenh.sources import fetch

SIDE, SCALE, SHIFT = 40, 4, -6
LEVELS = ("mild", "moderate", "severe", "study")


def level_named(name):
    return yaml.safe_load((CONF_DIR / "degradation" / f"{name}.yaml").read_text())


class Chain:
    """A folder of photos, its stages up to pairs of 64 pixels at one level, and a checkpoint that darkens by 6."""

    def __init__(self, root: Path, photos: Path, weights: Path, level: str = "mild") -> None:
        self.data, enhancer = root / "data", Enhancer(name="tiny", weights=weights)
        self.raw = fetch(Source(kind="folder", root=photos), 42, self.data)
        degraded = degrade(self.raw, parse(Degradation, level_named(level), "degradation"), 42, self.data)
        inputs, targets = (
            enhance(part, name, enhancer, self.data, None) for part, name in ((degraded, level), (self.raw, "raw"))
        )
        split = {"train": 0.6, "val": 0.15, "test": 0.25, "near_duplicate_bits": 0}
        self.split = split
        pairs = small_pairs(size=64, split=parse(Split, split, "split"))
        self.pairs = write_pairs(self.raw, {level: inputs}, targets, level, pairs, 42, self.data)
        self.tests = [pair.photo for pair in self.pairs.split("test")]
        self.stages = {"raw": self.raw, "degraded": degraded, "input": inputs, "target": targets}
        self.checkpoint = checkpoint_of(
            root / f"{level}.ckpt",
            self.pairs.directory,
            SHIFT / 127.5,
            enhancer={"name": "tiny", "weights": str(weights)},
            source={"kind": "folder", "root": str(photos)},
            degradation=level_named(level),
            pairs={"size": 64, "split": split},
        )

    def picture(self, stage: str, stem: str) -> np.ndarray:
        """Read a stage's picture without our code."""
        selection = self.stages[stage]
        (item,) = [item for item in selection.items if item.stem == stem]
        return np.asarray(Image.open(selection.file(item)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(14):
        cv2.imwrite(str(folder / f"ring {number:02d}.png"), drawn_photo(number, (SIDE, SIDE)))
    return folder


@pytest.fixture(scope="module")
def chain(tmp_path_factory, photos, tiny_weights):
    return Chain(tmp_path_factory.mktemp("mild"), photos, tiny_weights)


@pytest.fixture
def copied(chain, tmp_path):
    """The same with stages of its own to take away."""
    shutil.copytree(chain.data, tmp_path / "copy" / "data")
    return tmp_path / "copy" / "data"


def evaluated(*chains, pairs_dir=None, **settings):
    """Evaluate the chains' checkpoints."""
    subjects = open_checkpoints([one.checkpoint for one in chains], pairs_dir, trust=["drawn_scores"])
    known = {name: level_named(name) for name in LEVELS}
    return evaluate(subjects, Scoring(known_levels=known, **settings)).as_json()


@pytest.fixture(scope="module")
def report(chain):
    return evaluated(chain)


def psnr_db(image, reference):
    error = ((image - reference) ** 2).mean()
    return 10 * np.log10(255**2 / error) if error else 100.0


def shrunk(image):
    """Average blocks of 4 x 4."""
    return np.rint(image.reshape(SIDE, SCALE, SIDE, SCALE, 3).mean(axis=(1, 3)))


def test_both_tables_are_those_of_independent_arithmetic(report, chain):
    assert len(chain.tests) >= 3
    by_table = {"target": report, **report["against"]}
    assert list(by_table) == ["target", "raw", "pairs"]
    scores = {name: {photo["stem"]: photo for photo in table["photos"]} for name, table in by_table.items()}
    for stem in chain.tests:
        raw, degraded, input, target = (chain.picture(stage, stem) for stage in chain.stages)
        refined = np.clip(input + SHIFT, 0, 255)
        assert input.shape == (SIDE * SCALE, SIDE * SCALE, 3)
        expected = {"input": psnr_db(input, target), "refined": psnr_db(refined, target)}
        assert {k: scores["target"][stem][k]["psnr_db"] for k in expected} == pytest.approx(expected, abs=1e-3)
        at_raw = {"degraded": degraded, **{k: shrunk(v) for k, v in
                  {"input": input, "refined": refined, "target": target}.items()}}  # fmt: skip
        expected = {image: psnr_db(pixels, raw) for image, pixels in at_raw.items()}
        assert {k: scores["raw"][stem][k]["psnr_db"] for k in expected} == pytest.approx(expected, abs=0.02)
        assert set(scores["pairs"][stem]) >= {"input", "refined"}
    row = report["against"]["raw"]["summary"]["psnr_db"]
    assert row["gain"] == pytest.approx(row["refined"] - row["degraded"])
    assert row["over_input_gain"] == pytest.approx(row["refined"] - row["input"])
    sizes = [table["protocol"]["size"] for table in by_table.values()]
    assert sizes == ["at the served size", "at raw's own size", "at the pairs' 64 pixels"]
    assert report["cautions"] == []


def test_a_clean_photo_is_held_against_raw_alone(report, chain):
    assert list(report["levels"]) == ["mild", "none"] and list(report["levels"]["none"]) == ["raw_over_input"]
    costs = []
    for stem in chain.tests:
        raw, target = chain.picture("raw", stem), chain.picture("target", stem)
        costs.append(psnr_db(shrunk(np.clip(target + SHIFT, 0, 255)), raw) - psnr_db(shrunk(target), raw))
    found = report["levels"]["none"]["raw_over_input"]
    assert found["gain"] == pytest.approx(np.mean(costs), abs=0.02) and found["gain"] < 0
    assert found["worst_gain"] == pytest.approx(min(costs), abs=0.02)


def test_everything_is_shown_everywhere(run_job, chain, tmp_path):
    outcome = run_job("evaluate", f"checkpoint={chain.checkpoint}", "report_dir=out", "levels=all")
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(report["levels"]) >= {*LEVELS, "none"}
    page = (tmp_path / "out" / "report.html").read_text()
    harm = f"{report['levels']['none']['raw_over_input']['gain']:+.2f}".replace("-", "−")
    assert f'<span class="worse">{harm}</span>' in page and harm in outcome.out
    for words in ("Against target, at the served size", "Against raw, at raw's own size", "at the pairs' 64 pixels"):
        assert words.replace("'", "&#39;") in page and words in outcome.out.replace("\n", " ")
    with (tmp_path / "out" / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["stem"] for row in rows] == chain.tests and float(rows[0]["raw_psnr_db_gain"])
    card = model_card(read_checkpoint(chain.checkpoint), Exported(1, {}), report)
    assert "Against `raw` at raw's own size" in card and harm in card and "study" in card


def test_other_levels_are_those_of_their_own_sets(report, chain, photos, tiny_weights, tmp_path):
    found = evaluated(chain, levels="moderate")["levels"]
    assert list(found) == ["mild", "moderate"]
    assert found["mild"]["target_over_input"]["gain"] == pytest.approx(report["summary"]["psnr_db"]["gain"])
    other = Chain(tmp_path, photos, tiny_weights, "moderate")
    assert other.tests == chain.tests
    there = evaluated(chain, pairs_dir=other.pairs.directory, levels=())
    assert list(there["levels"]) == ["moderate"] and there["levels"]["moderate"] == found["moderate"]
    raw = there["against"]["raw"]["summary"]["psnr_db"]
    assert found["moderate"]["raw_over_input"]["gain"] == pytest.approx(raw["over_input_gain"])


def test_a_level_that_is_not_there_is_said(run_job, chain):
    outcome = run_job("evaluate", f"checkpoint={chain.checkpoint}", "levels=[mild,sever]")
    assert outcome.code == 2 and "'sever'" in outcome.err and "Did you mean severe?" in outcome.err


def test_enhanced_pictures_that_are_gone_are_made_again(report, chain, copied, monkeypatch):
    calls, upscale = [], Upscaler.upscale
    monkeypatch.setattr(Upscaler, "upscale", lambda self, photo: calls.append(photo) or upscale(self, photo))
    pairs_dir = copied / "pairs" / chain.pairs.directory.name
    assert evaluated(chain, pairs_dir=pairs_dir)["photos"] == report["photos"] and calls == [], "all lie in the stages"
    shutil.rmtree(copied / "enhanced")
    after = evaluated(chain, pairs_dir=pairs_dir)
    assert after["photos"] == report["photos"] and after["against"] == report["against"]
    assert len(calls) == 3 * len(chain.tests), "input and target of each, and the target of the clean photo"


@pytest.mark.parametrize("stage", ["raw", "degraded"])
def test_without_the_photos_there_is_the_pairs_own_table(chain, copied, stage):
    shutil.rmtree(copied / stage)
    report = evaluated(chain, pairs_dir=copied / "pairs" / chain.pairs.directory.name)
    assert report["against"] == {} and report["protocol"]["size"] == "at the pairs' 64 pixels"
    assert len(report["cautions"]) == 1 and "no table against raw" in report["cautions"][0]
    assert list(report["levels"]) == ([] if stage == "raw" else ["none"])


def test_a_photo_that_was_changed_is_gone(chain, copied):
    file = copied / "degraded" / chain.stages["degraded"].directory.name / f"{chain.tests[0]}.png"
    Image.new("RGB", (SIDE, SIDE)).save(file)
    report = evaluated(chain, pairs_dir=copied / "pairs" / chain.pairs.directory.name)
    assert len(report["against"]["raw"]["photos"]) == len(report["photos"]) == len(chain.tests) - 1
    assert len(report["against"]["pairs"]["photos"]) == len(chain.tests)
    assert report["cautions"][0].startswith(f"1 of {len(chain.tests)} pairs")


def test_without_the_pairs_the_same_photos_are_scored(report, photos, tiny_weights, tmp_path):
    orphan = Chain(tmp_path, photos, tiny_weights)
    shutil.rmtree(orphan.data)
    subjects = open_checkpoints([orphan.checkpoint], trust=["drawn_scores"], data_dir=tmp_path / "elsewhere")
    after = evaluate(subjects, Scoring()).as_json()
    assert after["photos"] == report["photos"] and list(after["against"]) == ["raw"]
    assert after["against"]["raw"]["photos"] == report["against"]["raw"]["photos"]
    assert len(after["cautions"]) == 1 and "The pairs are gone" in after["cautions"][0]


def test_imported_pairs_have_no_photos(chain, tmp_path):
    shutil.copytree(chain.pairs.directory, tmp_path / "theirs", ignore=shutil.ignore_patterns("manifest.json"))
    said = Foreign(range="signed", layout="chw", colours="rgb")
    imported = import_pairs(tmp_path / "theirs", said, small_pairs(), 42, tmp_path / "data")
    report = evaluated(chain, pairs_dir=imported.directory)
    assert report["against"] == {} and "were imported without them" in report["cautions"][0]
    assert report["levels"] == {}


def test_networks_of_two_levels_meet_on_the_same_photos(report, chain, photos, tiny_weights, tmp_path):
    other = Chain(tmp_path, photos, tiny_weights, "severe")
    both = evaluated(chain, other, levels="severe")
    assert [list(run["levels"]) for run in both["checkpoints"]] == [["mild", "severe"]] * 2
    assert both["checkpoints"][0]["summary"] == report["summary"]
    assert any("different levels" in caution for caution in both["cautions"])


def test_a_set_of_several_levels_is_told_apart(chain, tmp_path):
    """Clean photos are in the matrix, and in no mean; pairs that are the photos themselves are enough."""
    parts = {"mild": chain.stages["degraded"], "none": chain.raw}
    settings = small_pairs(placement="before", split=parse(Split, chain.split, "split"))
    pairs = write_pairs(chain.raw, parts, chain.raw, "all", settings, 42, tmp_path / "data")
    config = read_checkpoint(chain.checkpoint, ["drawn_scores"]).config
    other = SimpleNamespace(checkpoint=checkpoint_of(tmp_path / "a.ckpt", pairs.directory, SHIFT / 127.5, **config))
    report = evaluated(other)
    assert list(report["levels"]) == ["mild", "none"] and report["cautions"] == []
    assert list(report["against"]) == ["raw"], "the network stands before the enhancer: it has no table of its own"
    for table in (report, report["against"]["raw"]):
        assert [photo["stem"] for photo in table["photos"]] == [f"{stem}~mild" for stem in chain.tests]
    raw = report["against"]["raw"]["summary"]["psnr_db"]
    degraded = [psnr_db(chain.picture("degraded", stem), chain.picture("raw", stem)) for stem in chain.tests]
    assert raw["degraded"] == pytest.approx(np.mean(degraded), abs=1e-3)
    assert report["levels"]["mild"]["raw_over_degraded"]["gain"] == pytest.approx(raw["gain"])


def test_a_checkpoint_that_names_no_photos_says_what_it_needs(chain, tmp_path):
    lost = checkpoint_of(tmp_path / "lost.ckpt", tmp_path / "gone", 0.1)
    with pytest.raises(PairsError, match="pairs_dir=<pairs to score it on>"):
        evaluated(SimpleNamespace(checkpoint=lost))
