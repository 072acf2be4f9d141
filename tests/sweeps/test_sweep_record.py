"""The record of a sweep: read back as written, whole under several writers, nothing where there is nothing."""

from concurrent.futures import ThreadPoolExecutor

from jewelenh.sweeps.record import SWEEP_FILE, Sweep, SweepJob, add_jobs, change_job, count_states, read_sweep

EMPTY = Sweep("train", "python -m jewelenh.train -m seed=1,2", "2026-11-24T17:00:00+00:00", "now")


def test_a_record_is_read_back_as_written(tmp_path):
    assert [job.number for job in add_jobs(tmp_path, EMPTY, [["seed=1"], ["seed=2"]])] == [0, 1]
    changed = change_job(tmp_path, 1, state="finished", returned=0.5, directory="a")
    sweep = read_sweep(tmp_path)
    assert sweep.command == EMPTY.command and sweep.jobs == (SweepJob(0, ("seed=1",)), changed)
    assert changed == SweepJob(1, ("seed=2",), "finished", "a", returned=0.5)
    assert count_states(sweep.jobs) == "1 finished, 1 waiting"


def test_a_later_call_adds_to_the_record(tmp_path):
    add_jobs(tmp_path, EMPTY, [["lr=1"]])
    assert add_jobs(tmp_path, EMPTY, [["lr=2"], ["lr=3"]], first=0)[0] == SweepJob(1, ("lr=2",)), "0 is taken"
    assert add_jobs(tmp_path, EMPTY, [["lr=4"]], first=7)[0].number == 7
    assert [job.number for job in read_sweep(tmp_path).jobs] == [0, 1, 2, 7]


def test_two_writers_lose_nothing(tmp_path):
    add_jobs(tmp_path, EMPTY, [[]] * 20)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: change_job(tmp_path, number, state="finished"), range(20)))
    assert count_states(read_sweep(tmp_path).jobs) == "20 finished"


def test_what_cannot_be_read_is_no_sweep(tmp_path):
    assert read_sweep(tmp_path) is None
    for text in ("", "[]", "{}", '{"jobs": [{}]}', '{"job": 1, "command": [], "jobs": "x"}'):
        (tmp_path / SWEEP_FILE).write_text(text)
        assert read_sweep(tmp_path) is None, text
