"""Foreign folders: what is believed and why, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_pairs import blurred, drawn_photo

from jewelenh.config import Split
from jewelenh.errors import ConfigError, PairsError
from jewelenh.images import grey_levels
from jewelenh.pairs.adopt import Override, adopt
from jewelenh.pairs.contract import read_pairs
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.pairs.doctor import examine

SPLIT = Split(near_duplicate_bits=0)


def dark(number):
    """A drawn photo with black in it, as real photos have."""
    photo = drawn_photo(number)
    photo[:6] = 0
    return photo


def signed(pixels):
    return (pixels / 255 * 2 - 1).astype(np.float32)


ENCODINGS = {
    "signed": lambda p: signed(p).transpose(2, 0, 1),
    "half": lambda p: signed(p).transpose(2, 0, 1).astype(np.float16),
    "unit": lambda p: (p / 255).astype(np.float32).transpose(2, 0, 1),
    "grey": lambda p: p.astype(np.float32).transpose(2, 0, 1),
    "uint8": lambda p: p.transpose(2, 0, 1),
    "hwc": signed,
    "hwc uint8": lambda p: p,
}


def foreign(folder: Path, encode, folders=("",), n=12, photo=dark) -> Path:
    for number in range(n):
        place = folder / folders[number % len(folders)]
        place.mkdir(parents=True, exist_ok=True)
        pixels = photo(number)
        np.save(place / f"{number}_input.npy", np.ascontiguousarray(encode(blurred(pixels))))
        np.save(place / f"{number}_target.npy", np.ascontiguousarray(encode(pixels)))
    return folder


@pytest.mark.parametrize("name", list(ENCODINGS))
def test_every_encoding_is_told_and_served_alike(tmp_path, name):
    made = adopt(foreign(tmp_path / "f", ENCODINGS[name]), SPLIT, 42)
    assert not examine(made.directory).findings
    for cache in ("none", "ram", "device"):
        data = PairsDataModule(made.directory, cache=cache, workers=0, augment=False)
        data.setup("fit")
        for batch in map(data.on_after_batch_transfer, data.train_dataloader()):
            for position, stem in enumerate(batch["stem"]):
                expected = signed(dark(int(stem))).transpose(2, 0, 1)
                assert np.abs(batch["target"][position].numpy() - expected).max() < 1 / 255


def test_it_says_what_it_believes_and_why(tmp_path, caplog):
    with caplog.at_level("INFO"):
        made = adopt(foreign(tmp_path / "f", ENCODINGS["unit"]), SPLIT, 42)
    for words in (
        "dtype float32",
        "layout chw: shapes are (3, 48, 48)",
        "range unit",
        "black is 0",
        "colours rgb",
        "gold",
    ):
        assert words in caplog.text
    assert made.spec["upstream"]["adopted"][0].startswith("dtype float32")


def test_folders_keep_their_sides_and_flat_ones_are_split(tmp_path):
    made = adopt(foreign(tmp_path / "f", ENCODINGS["signed"], ("train", "valid", "test")), SPLIT, 42)
    assert {pair.stem.split("/")[0]: pair.split for pair in made.pairs} == {
        "train": "train",
        "valid": "val",
        "test": "test",
    }
    flat = adopt(foreign(tmp_path / "flat", ENCODINGS["signed"]), SPLIT, 42)
    assert [len(flat.split(name)) for name in ("train", "val", "test")] == [10, 1, 1]


def test_versions_share_a_target(tmp_path):
    folder = foreign(tmp_path / "f", ENCODINGS["signed"])
    np.save(folder / "3~1_input.npy", ENCODINGS["signed"](blurred(dark(3), 2)))
    made = adopt(folder, SPLIT, 42)
    assert {pair.stem for pair in made.pairs if pair.photo == "3"} == {"3", "3~1"}


def test_duplicates_across_given_sides_are_said(tmp_path, caplog):
    folder = foreign(tmp_path / "f", ENCODINGS["signed"], ("train", "test"), photo=lambda n: dark(n // 2))
    made = adopt(folder, SPLIT, 42)
    assert "6 groups of near-duplicates lie on both sides" in caplog.text
    assert {finding.check for finding in examine(made.directory).errors} == {"leak"}


def test_the_double_normalisation_of_the_reference_is_refused_and_no_override_helps(tmp_path):
    folder = foreign(tmp_path / "f", lambda p: (ENCODINGS["signed"](p) / 127.5 - 1).astype(np.float32))
    for override in (Override(), Override(range="signed")):
        with pytest.raises(PairsError, match=r"normalised twice[\s\S]*\(x \+ 1\) \* 127.5"):
            adopt(folder, SPLIT, 42, override)
    assert not (folder / "manifest.json").exists()


def bright(number):
    return np.maximum(drawn_photo(number), 140)


def test_an_ambiguous_range_is_refused_naming_the_override(tmp_path):
    folder = foreign(tmp_path / "f", ENCODINGS["signed"], photo=bright)
    with pytest.raises(PairsError, match=r"range[\s\S]*believe.range=signed"):
        adopt(folder, SPLIT, 42)
    assert adopt(folder, SPLIT, 42, Override(range="signed")).format.range == "signed"


def test_few_files_are_not_enough_to_tell(tmp_path):
    with pytest.raises(PairsError, match="cannot be told for sure"):
        adopt(foreign(tmp_path / "f", ENCODINGS["unit"], n=3), SPLIT, 42)


def test_an_ambiguous_layout_is_refused_naming_the_override(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(9):
        for role in ("input", "target"):
            np.save(tmp_path / f"{number}_{role}.npy", rng.uniform(-1, 1, (3, 20, 3)).astype(np.float32))
    with pytest.raises(PairsError, match=r"layout[\s\S]*believe.layout=chw"):
        adopt(tmp_path, SPLIT, 42)
    assert adopt(tmp_path, SPLIT, 42, Override(layout="hwc", colours="rgb")).format.layout == "hwc"


def test_blue_gold_is_refused_naming_the_override(tmp_path):
    folder = foreign(tmp_path / "f", lambda p: ENCODINGS["signed"](p[..., ::-1]))
    with pytest.raises(PairsError, match=r"colours[\s\S]*believe.colours=bgr"):
        adopt(folder, SPLIT, 42)
    made = adopt(folder, SPLIT, 42, Override(colours="bgr"))
    data = PairsDataModule(made.directory, workers=0, augment=False)
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())))
    assert np.array_equal(grey_levels(batch["target"][0].numpy()), dark(int(batch["stem"][0])).transpose(2, 0, 1))


@pytest.mark.parametrize("override", [Override(range="unit"), Override(layout="hwc")])
def test_an_override_that_the_files_contradict_is_refused(tmp_path, override):
    with pytest.raises(PairsError):
        adopt(foreign(tmp_path / "f", ENCODINGS["signed"]), SPLIT, 42, override)


BREAKS = {
    "missing: 5_input.npy this input has no target": lambda f: (f / "5_target.npy").unlink(),
    "missing: 5_target.npy this target has no input": lambda f: (f / "5_input.npy").unlink(),
    "truncated": lambda f: (f / "5_input.npy").write_bytes((f / "5_input.npy").read_bytes()[:-9]),
    "never unpickled": lambda f: np.save(f / "5_input.npy", np.array([{}], dtype=object)),
    "NaN": lambda f: np.save(f / "5_input.npy", np.full((3, 48, 48), np.nan, np.float32)),
    "cannot be used": lambda f: np.save(f / "5_input.npy", np.zeros((3, 48, 48))),
    "not RGB": lambda f: np.save(f / "5_input.npy", np.zeros((48, 48), np.float32)),
    "shape": lambda f: np.save(f / "5_input.npy", np.zeros((3, 40, 48), np.float32)),
    "Fortran": lambda f: np.save(f / "5_input.npy", np.asfortranarray(np.zeros((3, 48, 48), np.float32))),
    "others do not": lambda f: [
        (f / "train").mkdir(),
        *[(f / f"5_{r}.npy").rename(f / f"train/5_{r}.npy") for r in ("input", "target")],
    ],
}


@pytest.mark.parametrize("message", list(BREAKS))
def test_broken_folders_are_refused(tmp_path, message):
    folder = foreign(tmp_path / "f", ENCODINGS["signed"])
    BREAKS[message](folder)
    with pytest.raises(PairsError, match=message):
        adopt(folder, SPLIT, 42)
    assert not (folder / "manifest.json").exists()


def test_nothing_to_adopt(tmp_path):
    with pytest.raises(PairsError, match="no pairs to adopt"):
        adopt(tmp_path, SPLIT, 42)
    with pytest.raises(PairsError, match="no such folder"):
        adopt(tmp_path / "nowhere", SPLIT, 42)


def test_our_own_pairs_need_no_adoption(written):
    with pytest.raises(PairsError, match="have a manifest already"):
        adopt(written.directory, SPLIT, 42)
    assert read_pairs(written.directory)


def test_overrides_are_checked():
    with pytest.raises(ConfigError, match=r"believe.range = 'singed'[\s\S]*Did you mean signed"):
        Override.from_values({"range": "singed"})
    with pytest.raises(ConfigError, match="there is no such key"):
        Override.from_values({"rnge": "unit"})
