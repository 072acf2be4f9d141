"""Foreign folders: what is said is converted, what is not said is asked for, what is wrong is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_pairs import blurred, drawn_photo

from jewelenh.config import Data, Foreign, Pairs, Split, parse
from jewelenh.errors import ConfigError, PairsError
from jewelenh.images import signed_array
from jewelenh.pairs.check import examine
from jewelenh.pairs.contract import Format, read_pairs
from jewelenh.pairs.datamodule import PairsDataModule
from jewelenh.pairs.foreign import import_pairs

UNGROUPED = Pairs(split=Split(near_duplicate_bits=0))


def dark(number):
    """A drawn photo with black in it, as real photos have."""
    photo = drawn_photo(number)
    photo[:6] = 0
    return photo


def signed(pixels):
    return (pixels / 255 * 2 - 1).astype(np.float32)


def chw(array):
    return array.transpose(2, 0, 1)


ENCODINGS = {
    "signed chw rgb": lambda p: chw(signed(p)),
    "unit chw rgb": lambda p: chw((p / 255).astype(np.float32)),
    "grey chw rgb": lambda p: chw(p.astype(np.float32)),
    "signed hwc rgb": signed,
    "unit hwc bgr": lambda p: (p[..., ::-1] / 255).astype(np.float32),
    "grey hwc bgr": lambda p: p[..., ::-1].astype(np.uint8),
}
SIGNED = ENCODINGS["signed chw rgb"]
WORDS = {"range": ("signed", "unit", "grey"), "layout": ("chw", "hwc"), "colours": ("rgb", "bgr")}


def said(words: str) -> Foreign:
    return Foreign(**{name: word for name, allowed in WORDS.items() for word in words.split() if word in allowed})


def foreign(folder: Path, encode, folders=("",), n=12, photo=dark) -> Path:
    for number in range(n):
        place = folder / folders[number % len(folders)]
        place.mkdir(parents=True, exist_ok=True)
        pixels = photo(number)
        np.save(place / f"{number}_input.npy", np.ascontiguousarray(encode(blurred(pixels))))
        np.save(place / f"{number}_target.npy", np.ascontiguousarray(encode(pixels)))
    return folder


def imported(folder: Path, words: str = "signed chw rgb", pairs: Pairs = UNGROUPED):
    return import_pairs(folder, said(words), pairs, 42, folder.parent / "data")


@pytest.mark.parametrize("words", list(ENCODINGS))
def test_every_encoding_becomes_our_own(tmp_path, words):
    made = imported(foreign(tmp_path / "f", ENCODINGS[words]), words)
    assert made.format == Format("float32", None, "area") and not examine(made.directory).findings
    for pair in made.pairs:
        assert pair.input.path == f"{pair.split}/{pair.stem}_input.npy"
        stored = np.load(made.path(pair.target))
        assert stored.dtype == np.float32 and stored.flags.c_contiguous
        assert np.abs(stored - chw(signed(dark(int(pair.stem))))).max() < 1e-6
    data = PairsDataModule(Data(augment=False), made.directory, workers=0)
    data.setup("fit")
    for batch in map(data.on_after_batch_transfer, data.train_dataloader()):
        for position, stem in enumerate(batch["stem"]):
            assert np.abs(batch["target"][position].numpy() - chw(signed(dark(int(stem))))).max() < 1e-6
    assert words.split()[0] in made.spec["upstream"]["raw"]


def test_values_off_the_grid_of_8_bits_keep_their_precision(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.random((20, 30, 3)) for _ in range(2)]
    for role, array in zip(("input", "target"), arrays, strict=True):
        np.save(tmp_path / f"a_{role}.npy", array)  # float64, as NumPy makes it
    (pair,) = (made := import_pairs(tmp_path, said("unit hwc rgb"), UNGROUPED, 42, tmp_path / "data")).pairs
    for file, array in zip(pair.files, arrays, strict=True):
        assert np.abs(np.load(made.path(file)) - chw(array * 2 - 1)).max() < 2e-7


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_the_dtype_is_a_choice(tmp_path, dtype):
    made = imported(foreign(tmp_path / "f", SIGNED), pairs=Pairs(dtype=dtype, split=UNGROUPED.split))
    assert np.load(made.path(made.pairs[0].input)).dtype == dtype and not examine(made.directory).findings
    assert np.array_equal(made.pixels(made.pairs[0].target), dark(int(made.pairs[0].stem)))


def test_the_foreign_files_are_left_alone_and_a_second_import_finds_all_made(tmp_path):
    folder = foreign(tmp_path / "f", SIGNED)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    made, again = imported(folder), imported(folder)
    assert (made.n_made, again.n_made, again.directory) == (12, 0, made.directory)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_same_files_with_another_meaning_are_other_pairs(tmp_path):
    folder = foreign(tmp_path / "f", SIGNED)
    right, wrong = imported(folder), imported(folder, "signed chw bgr")
    assert right.directory != wrong.directory and wrong.n_linked == 0
    first = right.pairs[0].target
    assert np.array_equal(np.load(right.path(first)), np.load(wrong.path(wrong.pairs[0].target))[::-1])


def test_folders_keep_their_sides_and_flat_ones_are_split(tmp_path):
    made = imported(foreign(tmp_path / "f", SIGNED, ("train", "valid", "test")))
    sides = {pair.stem.split("/")[0]: pair.split for pair in made.pairs}
    assert sides == {"train": "train", "valid": "val", "test": "test"}
    flat = imported(foreign(tmp_path / "flat", SIGNED))
    assert [len(flat.split(name)) for name in ("train", "val", "test")] == [10, 1, 1]


def test_versions_share_a_target(tmp_path):
    folder = foreign(tmp_path / "f", SIGNED)
    np.save(folder / "3~1_input.npy", SIGNED(blurred(dark(3), 2)))
    versions = [pair for pair in imported(folder).pairs if pair.photo == "3"]
    assert [pair.stem for pair in versions] == ["3", "3~1"] and versions[0].target == versions[1].target


def test_duplicates_across_given_sides_are_said(tmp_path, caplog):
    made = imported(foreign(tmp_path / "f", SIGNED, ("train", "test"), photo=lambda n: dark(n // 2)))
    assert "leaks between the sides of the split" in caplog.text
    assert {finding.check for finding in examine(made.directory).errors} == {"leak"}


def test_what_is_not_said_is_asked_for_with_what_was_measured(tmp_path):
    folder = foreign(tmp_path / "f", ENCODINGS["unit chw rgb"])
    with pytest.raises(ConfigError) as error:
        imported(folder, "")
    for words in (
        "range, colours",
        "values from 0 to 0.9804: range=unit?",
        "colours=rgb|bgr",
        "0_input.npy the first is",
    ):
        assert words in str(error.value)
    with pytest.raises(ConfigError, match=r"(?s)is not said: range\..*add range=signed\|unit\|grey$"):
        imported(folder, "rgb")
    assert not (tmp_path / "data").exists()
    assert len(imported(folder, "unit rgb").pairs) == 12  # the shapes leave no doubt of the layout


def test_a_layout_that_shapes_leave_in_doubt_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    (folder := tmp_path / "f").mkdir()
    for role in ("input", "target"):
        np.save(folder / f"a_{role}.npy", rng.uniform(-1, 1, (3, 20, 3)).astype(np.float32))
    with pytest.raises(ConfigError, match=r"(?s)layout.*\(3, 20, 3\)"):
        imported(folder, "signed rgb")
    assert imported(folder, "signed hwc rgb").pairs[0].shape == (3, 3, 20)


@pytest.mark.parametrize("words", ["chw rgb", "signed chw rgb", "unit chw rgb", "grey chw rgb"])
def test_the_double_normalisation_of_the_reference_is_refused_whatever_is_said(tmp_path, words):
    folder = foreign(tmp_path / "f", lambda p: (SIGNED(p) / 127.5 - 1).astype(np.float32))
    with pytest.raises(PairsError, match=r"normalised twice[\s\S]*\(x \+ 1\) \* 127.5"):
        imported(folder, words)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("values", "words", "better"),
    [
        ("signed chw rgb", "unit", "signed"),
        ("unit chw rgb", "signed", "unit"),
        ("unit chw rgb", "grey", "unit"),
        ("grey chw rgb", "signed", "grey"),
        ("grey chw rgb", "unit", "grey"),
        ("grey hwc bgr", "unit", "grey"),
    ],
)
def test_a_range_that_the_values_contradict_is_refused_naming_a_better_one(tmp_path, values, words, better):
    with pytest.raises(PairsError, match=f"range={better}"):
        imported(foreign(tmp_path / "f", ENCODINGS[values]), f"{words} rgb")


BREAKS = {
    "missing: 5_input.npy this input has no target": lambda f: (f / "5_target.npy").unlink(),
    "missing: 5_target.npy this target has no input": lambda f: (f / "5_input.npy").unlink(),
    "truncated": lambda f: (f / "5_input.npy").write_bytes((f / "5_input.npy").read_bytes()[:-9]),
    "never unpickled": lambda f: np.save(f / "5_input.npy", np.array([{}], dtype=object)),
    "NaN": lambda f: np.save(f / "5_input.npy", np.full((3, 48, 48), np.nan, np.float32)),
    "int64 is neither": lambda f: np.save(f / "5_input.npy", np.zeros((3, 48, 48), np.int64)),
    "not RGB": lambda f: np.save(f / "5_input.npy", np.zeros((48, 48), np.float32)),
    r"the input is \(3, 40, 48\), its target \(3, 48, 48\)": lambda f: np.save(
        f / "5_input.npy", np.zeros((3, 40, 48), np.float32)
    ),
    r"layout=chw, found \(48, 48, 3\)": lambda f: np.save(f / "5_input.npy", np.zeros((48, 48, 3), np.float32)),
    "others do not": lambda f: [
        (f / "train").mkdir(),
        *[(f / f"5_{r}.npy").rename(f / f"train/5_{r}.npy") for r in ("input", "target")],
    ],
}


@pytest.mark.parametrize("message", list(BREAKS))
def test_broken_folders_are_refused(tmp_path, message):
    folder = foreign(tmp_path / "f", SIGNED)
    BREAKS[message](folder)
    with pytest.raises(PairsError, match=message):
        imported(folder)
    assert not (tmp_path / "data").exists()


def test_nothing_to_import(tmp_path):
    with pytest.raises(PairsError, match="no pairs to import"):
        imported(tmp_path)
    with pytest.raises(PairsError, match="no such folder"):
        imported(tmp_path / "nowhere")


def test_our_own_pairs_need_no_import(written):
    with pytest.raises(PairsError, match="have a manifest already"):
        imported(written.directory)
    assert read_pairs(written.directory)


def test_what_is_said_is_checked():
    with pytest.raises(ConfigError, match=r"range = 'singed'[\s\S]*Did you mean signed"):
        parse(Foreign, {"range": "singed"}, "")


def test_float32_keeps_the_bits_of_8_bit_photos(tmp_path):
    made = imported(foreign(tmp_path / "f", ENCODINGS["grey hwc bgr"]), "grey hwc bgr")
    for pair in made.pairs:
        assert np.array_equal(np.load(made.path(pair.target)), signed_array(chw(dark(int(pair.stem))), "float32"))
