"""Dashboards: W&B goes offline by itself and asks nothing, a resumed run goes on, and single numbers are no charts."""

import csv
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pytorch_lightning.loggers import CSVLogger

from jewelenh.training.loggers import RUN_ID, WandbRun, log_results, opened

wandb = pytest.importorskip("wandb")


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """An environment as of a new user, and no run that stays open."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield monkeypatch
    wandb.finish()
    wandb.teardown()  # or the next test would meet this one's environment


@pytest.fixture
def server():
    """A server that stands in for W&B's: it refuses every key."""

    class Refusing(BaseHTTPRequestHandler):
        asked: list[str] = []  # noqa: RUF012

        def do_POST(self):
            self.asked.append(self.path)
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Refusing.asked
        server.shutdown()


def opened_run(folder, goes_on=False, **settings):
    folder.mkdir(exist_ok=True)
    logger = WandbRun(str(folder), project="jewelenh", **settings)
    logger.open(goes_on)
    return logger.experiment


def test_without_a_key_it_is_offline(clean, tmp_path):
    assert opened_run(tmp_path / "run").offline


def test_where_nobody_listens_or_nobody_answers_it_is_offline(clean, tmp_path, caplog):
    clean.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        clean.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with caplog.at_level("INFO"):
            assert opened_run(tmp_path / "run", wait_s=1).offline
    assert "W&B: offline, as" in caplog.text and "wandb sync" in caplog.text


def test_a_server_of_ones_own_on_another_port_is_asked(clean, tmp_path, server):
    address, asked = server
    clean.setenv("WANDB_API_KEY", "0" * 40)
    clean.setenv("WANDB_BASE_URL", address)
    assert opened_run(tmp_path / "run", wait_s=5).offline  # it refused
    assert "/graphql" in asked


def test_a_chosen_mode_stays(clean, tmp_path):
    clean.setenv("WANDB_MODE", "disabled")
    assert opened_run(tmp_path / "run").disabled


def test_a_resumed_training_goes_on_in_its_run_and_a_new_one_does_not(clean, tmp_path):
    ids = []
    for goes_on in (False, True, False):
        ids.append(opened_run(tmp_path / "run", goes_on).id)
        wandb.finish()
    assert ids[0] == ids[1] != ids[2]
    assert (tmp_path / "run" / RUN_ID).read_text().strip() == ids[2]


def test_single_numbers_go_to_the_summary_and_files_that_are_asked_for_become_artifacts(clean, tmp_path):
    logger = WandbRun(str(tmp_path), project="jewelenh", artifacts=True, entity=None)
    logger.open(goes_on=False)
    log_results([logger], {"test/score": 1.5}, step=3)
    assert logger.experiment.summary["test/score"] == 1.5
    assert not logger.experiment.step  # no chart of one point
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    logger.keep({"model": tmp_path / "best.ckpt", "pairs": tmp_path / "nowhere.json"})


def test_the_csv_of_a_resumed_training_has_the_rows_of_both_tries(tmp_path):
    for goes_on in (False, True):
        logger = CSVLogger(str(tmp_path), name="csv", version="")
        with opened([logger], {}, goes_on):
            logger.log_metrics({"val/gain_db": 0.25 + goes_on}, step=int(goes_on))
            logger.log_metrics({"train/loss": 1.0} if goes_on else {"lr": 0.1}, step=int(goes_on))
            logger.save()
    with (tmp_path / "csv" / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["val/gain_db"] for row in rows if row["val/gain_db"]] == ["0.25", "1.25"]
    assert [row["lr"] for row in rows if row["lr"]] == ["0.1"]
    with opened([CSVLogger(str(tmp_path), name="csv", version="")], {}, goes_on=False):
        assert not (tmp_path / "csv" / "metrics.csv").exists()
