"""The evaluate job as a user types it: numbers that are known by hand, comparisons, bad input."""

import csv
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch
from drawn_pairs import Upstream, drawn_photo, small_pairs
from drawn_scores import checkpoint_of, drawn, drawn_alexnet

from jewelenh.config import Split
from jewelenh.evaluation.photos import read_pixels


@pytest.fixture
def runs(drawn_pairs_of_32, checkpoints_folder):
    """Three checkpoints: one changes nothing, two make every picture brighter by a little or a lot."""
    shifts = {"same": 0.0, "little": 4 / 127.5, "lot": 40 / 127.5}
    return {
        name: checkpoint_of(checkpoints_folder / name / "checkpoints" / "best.ckpt", drawn_pairs_of_32.directory, shift)
        for name, shift in shifts.items()
    }


def report_of(folder):
    return json.loads((folder / "metrics.json").read_text())


VOID = {"meta", "link", "img", "input", "br", "line", "path", "circle", "rect"}


class Page(HTMLParser):
    """Collects what a browser would load, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.without_alt = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.loads += [values[key] for key in ("src", "href", "srcset", "action", "data") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        self.without_alt += tag == "img" and "alt" not in values
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_a_network_that_changes_nothing_gains_nothing(run_job, runs, tmp_path):
    outcome = run_job("evaluate", f"checkpoint={runs['same']}", "report_dir=out")
    assert outcome.code == 0, outcome.err
    report = report_of(tmp_path / "out")
    assert all(row["gain"] == 0 and row["share_improved"] == 0 for row in report["summary"].values())
    assert report["left_out"][0].startswith("LPIPS") and report["left_out"][1].startswith("FID")
    assert "LPIPS is left out" in outcome.out and "FID and KID are left out" in outcome.out
    assert outcome.out.count("LPIPS is left out") == 1
    assert set(report["protocol"]["metrics"]) >= {"psnr_db", "ssim", "ciede2000"}


def test_numbers_of_a_known_change_in_every_file(run_job, runs, drawn_pairs_of_32, tmp_path):
    assert run_job("evaluate", f"checkpoint={runs['lot'].parent.parent}", "report_dir=out").code == 0
    report = report_of(tmp_path / "out")
    pair = drawn_pairs_of_32.split("test")[0]
    _, input, target = next(read_pixels(drawn_pairs_of_32, [pair]))
    brighter = np.clip(input.astype(int) + 40, 0, 255)
    expected = 10 * np.log10(255**2 / ((brighter - target.astype(int)) ** 2).mean())
    photo = next(photo for photo in report["photos"] if photo["stem"] == pair.stem)
    assert photo["refined"]["psnr_db"] == pytest.approx(expected, abs=1e-4)
    assert report["summary"]["psnr_db"]["gain"] < -1
    gains = {p["stem"]: p["refined"]["psnr_db"] - p["input"]["psnr_db"] for p in report["photos"]}
    assert [row["stem"] for row in report["worst"]] == sorted(gains, key=gains.__getitem__)[:5]
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = {row["stem"]: row for row in csv.DictReader(file)}
    assert float(rows[pair.stem]["psnr_db_gain"]) == pytest.approx(gains[pair.stem], abs=1e-5)
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 1000


def test_the_page_needs_nothing_but_itself(run_job, runs, tmp_path):
    both = f"checkpoint=[{runs['same']},{runs['lot']}]"
    for name, checkpoint in (("one", f"checkpoint={runs['lot']}"), ("two", both)):
        assert run_job("evaluate", checkpoint, f"report_dir={name}").code == 0
        text = (tmp_path / name / "report.html").read_text()
        page = Page(text)
        assert page.open == [] and page.without_alt == 0
        assert all(load.startswith(("data:", "#")) for load in page.loads)
        assert not re.search(r"url\(|@import|https?://(?!download|github)", text.split("<body>")[0])
        targets = {load[1:] for load in page.loads if load.startswith("#")}
        assert targets <= set(page.ids) and len(page.ids) == len(set(page.ids))
        assert "ring &lt;" in text and "ring <0" not in text
        assert "default-src 'none'" in text
        assert text.count('data-role="target"') == 3
    assert 'data-role="same"' in text and 'data-role="lot"' in text


def test_several_checkpoints_meet_on_the_same_photos(run_job, runs, tmp_path):
    wanted = ",".join(str(runs[name]) for name in ("same", "little", "lot"))
    outcome = run_job("evaluate", f"checkpoint=[{wanted}]", "report_dir=out")
    assert outcome.code == 0, outcome.err
    report = report_of(tmp_path / "out")
    assert [run["name"] for run in report["checkpoints"]] == ["same", "little", "lot"]
    found = {(d["first"], d["second"], d["metric"]): d for d in report["differences"]}
    apart = found["same", "lot", "psnr_db"]
    means = {run["name"]: run["summary"]["psnr_db"]["refined"] for run in report["checkpoints"]}
    by_photo = {}
    for run in report["checkpoints"]:
        for photo in run["photos"]:
            by_photo.setdefault(run["name"], {}).setdefault(photo["photo"], []).append(photo["refined"]["psnr_db"])
    paired = [np.mean(by_photo["lot"][p]) - np.mean(by_photo["same"][p]) for p in by_photo["same"]]
    assert apart["mean"] == pytest.approx(np.mean(paired)) and means["lot"] < means["same"]
    assert apart["low"] <= apart["mean"] <= apart["high"] < 0
    assert apart["verdict"] == "same is better" and "same is better" in outcome.out
    assert found["same", "lot", "ciede2000"]["mean"] > 0
    with (tmp_path / "out" / "metrics.csv").open() as file:
        assert {row["checkpoint"] for row in csv.DictReader(file)} == {"same", "little", "lot"}


def test_checkpoints_of_different_pairs_need_to_be_told_where_to_meet(run_job, runs, tmp_path):
    other = drawn(tmp_path / "elsewhere", level="severe", n_photos=12)
    stranger = checkpoint_of(tmp_path / "stranger" / "checkpoints" / "best.ckpt", other.directory, 0.1)
    both = f"checkpoint=[{runs['same']},{stranger}]"
    refused = run_job("evaluate", both)
    assert refused.code == 1
    assert "different pairs" in refused.err and other.directory.name in refused.err and "pairs_dir=" in refused.err
    met = run_job("evaluate", both, f"pairs_dir={other.directory}", "names=[ours,theirs]", "report_dir=out")
    assert met.code == 0, met.err
    assert [run["name"] for run in report_of(tmp_path / "out")["checkpoints"]] == ["ours", "theirs"]
    assert "Severe: 2 checkpoints" in (tmp_path / "out" / "report.html").read_text()


def test_every_split_and_other_pairs_can_be_scored(run_job, runs, drawn_pairs_of_32, tmp_path):
    for split in ("val", "train"):
        assert run_job("evaluate", f"checkpoint={runs['lot']}", f"split={split}", f"report_dir={split}").code == 0
        stems = {photo["stem"] for photo in report_of(tmp_path / split)["photos"]}
        assert stems == {pair.stem for pair in drawn_pairs_of_32.split(split)}


def test_photos_of_the_training_are_no_test(run_job, runs, drawn_pairs_of_32, tmp_path):
    n_train = len({pair.photo for pair in drawn_pairs_of_32.split("train")})
    outcome = run_job("evaluate", f"checkpoint={runs['lot']}", "split=train", "report_dir=train")
    assert f"{n_train} of {n_train} photos: this network was trained on them" in outcome.out
    assert "no test of it" in (tmp_path / "train" / "report.html").read_text()
    assert report_of(tmp_path / "train")["cautions"]
    assert run_job("evaluate", f"checkpoint={runs['lot']}", "report_dir=test").code == 0
    assert "trained on them" not in str(report_of(tmp_path / "test")["cautions"])
    twin = drawn(tmp_path / "twin", level="severe")  # the same photos in another directory, split the same way
    told = run_job("evaluate", f"checkpoint={runs['lot']}", f"pairs_dir={twin.directory}", "split=train")
    assert f"{n_train} of {n_train} photos" in told.out
    lost = checkpoint_of(tmp_path / "lost.ckpt", tmp_path / "gone", 0.1)
    told = run_job("evaluate", f"checkpoint={lost}", f"pairs_dir={twin.directory}")
    assert "may have seen these photos" in told.out


def test_copies_of_training_photos_that_were_encoded_again_are_no_test(run_job, tmp_path):
    options = small_pairs(split=Split(near_duplicate_bits=4))
    ours, theirs = Upstream(tmp_path / "ours"), Upstream(tmp_path / "theirs")
    for number in range(12):
        photo = drawn_photo(number)
        ours.photo(f"{number}.png", photo)
        jpeg = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        theirs.photo(f"copy of {number}.jpg", cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    trained_on, copies = ours.write(tmp_path / "ours", options), theirs.write(tmp_path / "theirs", options)
    run = checkpoint_of(tmp_path / "run.ckpt", trained_on.directory, 0.1)
    scored = {pair.photo.removeprefix("copy of ").replace("jpg", "png") for pair in copies.split("train")}
    n_seen = len(scored & {pair.photo for pair in trained_on.split("train")})
    outcome = run_job("evaluate", f"checkpoint={run}", f"pairs_dir={copies.directory}", "split=train")
    assert n_seen > 3 and outcome.code == 0, outcome.err
    assert f"{n_seen} of {len(scored)} photos: this network was trained on near-duplicates of them" in outcome.out


def test_lpips_joins_where_its_weights_are(run_job, tmp_path):
    drawn_alexnet(tmp_path / "alexnet.pth")
    pairs = drawn(tmp_path / "large", size=64, n_photos=12)
    run = checkpoint_of(tmp_path / "run.ckpt", pairs.directory, 0.2)
    outcome = run_job("evaluate", f"checkpoint={run}", "lpips_weights=alexnet.pth", "report_dir=out")
    assert outcome.code == 0, outcome.err
    report = report_of(tmp_path / "out")
    assert report["summary"]["lpips"]["gain"] > 0 and "LPIPS (lower is better)" in outcome.out
    assert "alexnet.pth" in report["protocol"]["metrics"]["lpips"]


def no_checkpoint(folder, good):
    (folder / "text.ckpt").write_text("hello")
    return ["checkpoint=text.ckpt"], 1, ["no readable checkpoint"]


def truncated(folder, good):
    (folder / "cut.ckpt").write_bytes(good.read_bytes()[:-700])
    return ["checkpoint=cut.ckpt"], 1, ["no readable checkpoint", "cut.ckpt"]


def another_version(folder, good):
    content = torch.load(good, weights_only=True)
    content["jewelenh"]["version"] = 99
    torch.save(content, folder / "new.ckpt")
    return ["checkpoint=new.ckpt"], 1, ["another version", "99"]


def empty_split(folder, good):
    pairs = drawn(folder / "few", n_photos=2)
    empty = next(split for split in ("train", "val", "test") if not pairs.split(split))
    return (
        [f"checkpoint={good}", f"pairs_dir={pairs.directory}", f"split={empty}"],
        1,
        [f"no pairs to score in {empty}"],
    )


def not_writable(folder, good):
    (folder / "taken").write_text("a file")
    return [f"checkpoint={good}", "report_dir=taken"], 2, ["cannot be written", "report_dir="]


def the_same_twice(folder, good):
    return [f"checkpoint=[{good},{good}]"], 2, ["named twice"]


def too_few_names(folder, good):
    return [f"checkpoint={good}", "names=[a,b]"], 2, ["1 different names"]


def no_checkpoint_at_all(folder, good):
    return ["checkpoint=[]"], 2, ["checkpoint is empty"]


def no_pairs(folder, good):
    return [f"checkpoint={good}", "pairs_dir=nowhere"], 1, ["no such pairs directory"]


CASES = [
    no_checkpoint, truncated, another_version, empty_split, not_writable, the_same_twice, too_few_names,
    no_checkpoint_at_all, no_pairs,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_cannot_be_evaluated_is_said(run_job, runs, tmp_path, case):
    overrides, code, words = case(tmp_path, runs["lot"])
    outcome = run_job("evaluate", *overrides)
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err and "Unexpected" not in outcome.err
    for word in words:
        assert word in outcome.err
