"""The one result of a sweep: tables, curves, and what failed first."""

import csv
import json
import re

import pytest
from sweep_record import fake_run

from jewelenh.errors import StageError
from jewelenh.reporting.sweep import write_report
from jewelenh.sweeps.record import Sweep, SweepJob, write_sweep
from jewelenh.sweeps.results import read_results


@pytest.fixture
def sweep_dir(tmp_path):
    """Two levels, two learning rates at one of them, two seeds; one job failed, one never said a word again."""
    folder = tmp_path / "sweeps" / "now"
    jobs = [("severe", 1, "1e-3", 0.4), ("mild", 1, "1e-3", 0.1), ("mild", 2, "1e-3", 0.3), ("mild", 1, "2e-3", -0.2)]
    for number, (level, seed, lr, gain_db) in enumerate(jobs):
        overrides = (f"+experiment={level}", f"seed={seed}", f"model.optimizer.lr={lr}", "logger=csv")
        fake_run(
            folder, number, gain_db, level=level, seed=seed, overrides=overrides, seconds=120.0,
            numbers={"val/gain_db": gain_db / 2},
        )  # fmt: skip
    failed = fake_run(
        folder, 4, state="failed", reason="ConfigError: a | b <c>",
        overrides=("+experiment=mild", "seed=2", "model.optimizer.lr=2e-3", "logger=csv"), seed=2,
    )  # fmt: skip
    (failed / "traceback.txt").write_text("Traceback ...")
    words = ("model.optimizer.lr=1e-3", "logger=csv", "+experiment=severe", "seed=2")
    fake_run(folder, 5, state="running", level="severe", seed=2, overrides=words)
    return folder


def test_runs_are_grouped_by_level_and_settings_over_seeds(sweep_dir):
    groups = read_results(sweep_dir).groups
    assert [(group.level, group.settings, len(group.runs)) for group in groups] == [
        ("mild", "lr=1e-3", 2), ("mild", "lr=2e-3", 1), ("severe", "lr=1e-3", 1),
    ]  # fmt: skip
    assert groups[0].mean("psnr_db", "gain") == pytest.approx(0.2)
    assert groups[0].spread("psnr_db", "gain") == pytest.approx(0.1414, abs=1e-4)  # of 0.1 and 0.3, by hand
    assert groups[0].gains_db() == pytest.approx([0.2, 0.2]), "photo by photo, over the seeds"
    assert groups[0].minutes == 2 and groups[0].val_gain_db == pytest.approx(0.1)


def test_folds_of_one_choice_are_one_row_over_the_test_photos_of_all(tmp_path):
    for fold, (photos, gain_db) in enumerate([("ab", 0.1), ("cd", 0.3)]):
        run = fake_run(tmp_path / "now", fold, gain_db, overrides=(f"pairs.split.fold={fold}", "pairs.split.folds=2"))
        written = json.loads((run / "metrics.json").read_text())
        for photo, name in zip(written["photos"], photos, strict=True):
            photo.update(stem=f"{name}-0", photo=name)
        (run / "metrics.json").write_text(json.dumps(written))
    results = read_results(tmp_path / "now")
    [group] = results.groups
    assert group.gains_db() == pytest.approx([0.1, 0.1, 0.3, 0.3]) and group.settings == ""
    assert [run.label for run in results.runs] == ["mild, fold 0, seed 1", "mild, fold 1, seed 1"]


def test_the_summary_says_first_what_has_no_result(sweep_dir):
    text = write_report(sweep_dir)["summary.md"].read_text()
    assert "6 jobs: 1 failed, 4 finished, 1 running" in text
    assert text.index("a \\| b <c>") < text.index("| mild | lr=1e-3 | 1, 2 | 30.00 | 30.20 | +0.200 ± 0.141 |")
    assert "../train/run-4/traceback.txt" in text and "its process is running, or was killed with the sweep" in text
    assert text.startswith("# sweeps/now\n\n6 jobs") and "\n\n\n" not in text


def test_the_csv_has_a_line_for_every_job(sweep_dir):
    with write_report(sweep_dir)["summary.csv"].open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["state"] for row in rows] == ["finished"] * 4 + ["failed", "running"]
    assert float(rows[2]["psnr_db_gain"]) == 0.3 and rows[4]["psnr_db_gain"] == ""
    assert rows[4]["reason"] == "ConfigError: a | b <c>" and rows[4]["level"] == "mild"


def test_the_page_stands_alone_and_shows_what_is_there(sweep_dir):
    page = write_report(sweep_dir)["report.html"].read_text()
    assert "a | b &lt;c&gt;" in page and "<c>" not in page
    assert "mild: validation gain, dB" in page and "severe: training loss" in page
    loads = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)', page)
    assert loads == ["../train/run-4/traceback.txt"]
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in page


def test_equal_sweeps_give_equal_bytes(sweep_dir):
    first = {name: file.read_bytes() for name, file in write_report(sweep_dir).items()}
    assert first == {name: file.read_bytes() for name, file in write_report(sweep_dir).items()}


def test_a_run_that_another_sweep_made_counts_here_too(tmp_path):
    fake_run(tmp_path / "sweeps" / "first", 0, 0.5, directory="shared")
    again = tmp_path / "sweeps" / "second"
    again.mkdir()
    write_sweep(again, Sweep("train", "", "now", "second", (SweepJob(0, (), "finished", "../train/shared"),)))
    assert read_results(again).groups[0].mean("psnr_db", "gain") == 0.5


def test_a_folder_without_jobs_is_no_sweep(run_job, tmp_path):
    with pytest.raises(StageError, match="no jobs of a sweep"):
        read_results(tmp_path)
    assert "There is no sweep yet" in run_job("report").err
    outcome = run_job("report", f"sweep={tmp_path}")
    assert outcome.code == 1 and "no jobs of a sweep" in outcome.err and "Traceback" not in outcome.err


def test_the_report_of_the_newest_sweep_comes_on_demand(run_job, tmp_path):
    folder = tmp_path / "outputs" / "sweeps" / "now"
    fake_run(folder, 0, 0.5)
    outcome = run_job("report")
    assert outcome.code == 0, outcome.err
    assert "python -m jewelenh.train -m seed=1,2" in outcome.out and str(folder / "report.html") in outcome.out
