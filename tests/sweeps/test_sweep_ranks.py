"""Several processes of one training: only the first holds the run."""

import pytest

from jewelenh.sweeps.claims import claimed
from jewelenh.sweeps.ranks import follow, is_follower

CONTENT = {"version": 1, "values": {"seed": 1}}


@pytest.mark.parametrize(
    ("environment", "follows"),
    [
        ({}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, False),
        ({"RANK": "3", "LOCAL_RANK": "1"}, True),
        ({"NODE_RANK": "1"}, True),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "2"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, False),
    ],
)
def test_followers_are_told_by_their_launcher(environment, follows):
    assert is_follower(environment) is follows


def test_a_follower_goes_where_the_first_process_is(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "together")
    here = tmp_path / "train" / "one"
    here.mkdir(parents=True)
    with claimed(tmp_path, CONTENT, here) as first:
        run = follow(tmp_path, CONTENT)
        assert run.directory == here and run.checkpoint is None and not run.is_finished
        first.finish({"score": 0.5})
    assert follow(tmp_path, CONTENT).numbers == {"score": 0.5}
