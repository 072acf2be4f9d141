"""The debugging configurations: one batch is learnt, and a profile says where the time went."""

import csv

import pytest
from tests_drawn import chain_overrides


def run(run_job, photos, tiny_weights, *more):
    overrides = chain_overrides(photos, tiny_weights)
    return run_job(
        "train", "+experiment=mild", *overrides, "model.network.features=4", "data.crop=32", "logger=csv", *more
    )


@pytest.mark.slow
def test_overfit_sees_one_batch_again_and_again_and_learns_it(run_job, photos, tiny_weights, tmp_path):
    outcome = run(
        run_job, photos, tiny_weights, "debug=overfit", "trainer.max_epochs=80",
        "trainer.check_val_every_n_epoch=80", "model.optimizer.lr=3e-3",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    with next((tmp_path / "outputs").glob("**/csv/metrics.csv")).open() as file:
        losses = [float(row["train/loss_epoch"]) for row in csv.DictReader(file) if row.get("train/loss_epoch")]
    assert len(losses) == 80
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_profile_leaves_the_times_of_a_short_run(run_job, photos, tiny_weights, tmp_path):
    outcome = run(run_job, photos, tiny_weights, "debug=profile", "trainer.max_epochs=1")
    assert outcome.code == 0, outcome.err
    (file,) = (tmp_path / "outputs").glob("**/*profile*.txt")
    assert "run_training_batch" in file.read_text()
