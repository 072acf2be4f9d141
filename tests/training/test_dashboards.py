"""What a run left on its dashboards, read back from the files: curves, panels, tables, config, group and tags."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

BLOCK, HEADER = 32768, 7
CURVES = {
    "train/loss_epoch", "train/l1", "train/mse", "val/loss", "val/l1", "val/mse", "val/psnr_db", "val/ssim",
    "val/psnr_db_input", "val/ssim_input", "val/gain_db", "speed/pictures_per_s", "memory/host_peak_gib",
}  # fmt: skip
TEST = {"test/psnr_db_gain", "test/psnr_db_input", "test/psnr_db_refined", "best/gain_db"}


def wandb_records(file: Path) -> list:
    """Read W&B's run file: a LevelDB log of protobuf records, in blocks of 32 KiB after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole, found = file.read_bytes(), HEADER, b"", []
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in {1, 4}:  # whole, or the last piece
            found.append(wandb_internal_pb2.Record.FromString(whole))
            whole = b""
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The directory of one small run with every logger."""
    root = tmp_path_factory.mktemp("dashboard")
    command = [
        sys.executable, "-m", "jewelenh.train", "+experiment=mild", "debug=default", "tags=[one,two]",
        "pairs.size=64", "data.crop=32",
    ]  # fmt: skip
    environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = (root / "outputs" / "train").iterdir()
    return folder


@pytest.mark.slow
def test_wandb_holds_curves_panels_the_table_and_the_config(finished):
    (file,) = finished.glob("wandb/offline-run-*/run-*.wandb")
    records = wandb_records(file)
    runs = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert runs[0].run_group == "mild" and {"mild", "one", "two"} == set(runs[0].tags)
    history = [record.history for record in records if record.WhichOneof("record_type") == "history"]
    keys = {item.key or "/".join(item.nested_key) for entry in history for item in entry.item}
    assert keys >= CURVES | {"lr-AdamW"} and not keys & TEST  # single numbers are no charts
    updates = [entry.summary.update for entry in records if entry.WhichOneof("record_type") == "summary"]
    assert {item.key or "/".join(item.nested_key) for update in updates for item in update} >= TEST
    metrics = [record.metric for record in records if record.WhichOneof("record_type") == "metric"]
    assert any(metric.name == "val/psnr_db" and metric.summary.max for metric in metrics)
    assert all(
        f"{name}/path" in keys or f"{name}/filenames" in keys
        for name in ("val/panel", "test/comparison", "test/photos")
    )
    written = [run.config for run in runs]
    written += [record.config for record in records if record.WhichOneof("record_type") == "config"]
    config = {item.key: json.loads(item.value_json) for part in written for item in part.update}
    assert config["degradation"]["name"] == "mild" and config["seed"] == 42
    media = file.parent / "files" / "media"
    panel = Image.open(sorted((media / "images" / "val").glob("panel_*.png"))[-1])
    assert panel.size[0] == 10 + 5 * 266  # five pictures a row
    table = json.loads(next((media / "table" / "test").glob("photos_*.table.json")).read_text())
    lines = (finished / "metrics.csv").read_text().splitlines()
    assert len(table["data"]) == len(lines) - 1
    gains = {row[0]: row[table["columns"].index("psnr_db_gain")] for row in table["data"]}
    column = lines[0].split(",").index("psnr_db_gain")
    for line in lines[1:]:
        assert gains[line.split(",")[0]] == pytest.approx(float(line.split(",")[column]), abs=1e-5)


@pytest.mark.slow
def test_tensorboard_holds_the_same(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= CURVES | TEST
    assert {"val/panel", "test/comparison"} <= set(tags["images"])
    text = events.Tensors("test/photos/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "psnr_db_gain" in text and text.count("\n") == len((finished / "metrics.csv").read_text().splitlines())
    gain = events.Scalars("test/psnr_db_gain")[-1].value
    summary = json.loads((finished / "metrics.json").read_text())["summary"]["psnr_db"]["gain"]
    assert gain == pytest.approx(summary, abs=1e-5)
