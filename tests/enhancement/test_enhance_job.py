"""`python -m jewelenh.enhance` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from esrgan_parts import png

from jewelenh.config import Enhancer, Hardware, parse


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "photos" / "rings").mkdir(parents=True)
    for k in range(3):
        (tmp_path / "photos" / "rings" / f"{k}.png").write_bytes(png(40, 36, k))
    return tmp_path


def job(folder: Path, weights: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jewelenh.enhance", *arguments]
    command += ["source=folder", f"source.root={folder / 'photos'}"]
    command += ["enhancer=general_x4v3", f"enhancer.weights={weights}", f"paths.data_dir={folder / 'data'}"]
    command += [f"paths.output_dir={folder / 'outputs'}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_raw_is_enhanced_once_for_all_levels(folder, compact_file):
    done = job(folder, compact_file, "-m", "degradation=mild,moderate,severe")
    assert done.returncode == 0, done.stderr
    stages = sorted(path.name.split("-")[0] for path in (folder / "data" / "enhanced").iterdir())
    assert stages == ["mild", "moderate", "raw", "severe"]
    assert len(list((folder / "data" / "enhanced").rglob("*.png"))) == 4 * 3
    text = done.stdout + done.stderr
    assert text.count("enhance raw: 3 made") == 1
    assert text.count("enhance raw: 0 made, 3 there already") == 2


@pytest.mark.slow
def test_shards_from_the_command_line(folder, compact_file):
    done = job(folder, compact_file, "-m", "shard.index=0,1", "shard.count=2")
    assert done.returncode == 0, done.stderr
    assert "the stage is complete" in done.stdout + done.stderr
    assert len(list((folder / "data" / "enhanced").rglob("*.png"))) == 2 * 3


@pytest.mark.slow
def test_weights_that_are_missing_end_with_one_message(folder):
    done = job(folder, folder / "none.pth")
    assert done.returncode == 1
    assert "none.pth" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("name", ["x4plus", "x2plus", "general_x4v3", "compact"])
def test_the_shipped_groups_spell_out_every_setting_with_its_default(name):
    import dataclasses

    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from jewelenh.job import CONF_DIR, VERSION_BASE

    with initialize_config_dir(str(CONF_DIR), **VERSION_BASE):
        cfg = compose("enhance", [f"enhancer={name}"])
    for group, schema in (("enhancer", Enhancer), ("hardware", Hardware)):
        values = OmegaConf.to_container(cfg[group])
        parse(schema, values, group)
        assert values == {
            field.name: name if field.name == "name" else field.default for field in dataclasses.fields(schema)
        }
