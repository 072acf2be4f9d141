"""Every finding of the doctor, each made by breaking good pairs; and what the check before the first batch catches."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from jewelenh.config import Data
from jewelenh.errors import PairsError
from jewelenh.images import grey_levels, signed_array
from jewelenh.manifest import fingerprint_of
from jewelenh.pairs.check import check, examine, quick_check, shift_between
from jewelenh.pairs.contract import Pair, PairsManifest, read_pairs
from jewelenh.pairs.datamodule import PairsDataModule


def checks(made: PairsManifest) -> set[str]:
    return {finding.check for finding in examine(made.directory).findings}


def errors(made: PairsManifest) -> set[str]:
    return {finding.check for finding in examine(made.directory).errors}


def replace_array(made: PairsManifest, path: str, change: Callable[[np.ndarray], np.ndarray], *, relist: bool) -> None:
    """Put another array into a file; with `relist` the manifest says it was always so."""
    file = made.directory / path
    file.write_bytes(b"") if not file.exists() else None
    array = np.load(file)
    np.save(file, change(array))
    if relist:
        relisted(made, path)


def relisted(made: PairsManifest, path: str) -> None:
    data = (made.directory / path).read_bytes()

    def change(content: dict) -> None:
        for item in content["items"]:
            for stored in item["files"].values():
                if stored["path"] == path:
                    stored.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    edit_manifest(made, change)


def edit_manifest(made: PairsManifest, change: Callable[[dict], None]) -> None:
    path = made.directory / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    content["fingerprint"] = fingerprint_of(content["spec"])
    path.write_text(json.dumps(content))


def move(made: PairsManifest, item: dict, split: str) -> None:
    """Put a pair on another side of the split, its files included."""
    item["record"]["split"] = split
    for file in item["files"].values():
        place = f"{split}/{file['path'].split('/', 1)[1]}"
        (made.directory / place).parent.mkdir(parents=True, exist_ok=True)
        if place != file["path"]:
            shutil.copy(made.directory / file["path"], made.directory / place)
        file["path"] = place


def first(made: PairsManifest) -> Pair:
    return made.pairs[0]


def squeeze(array: np.ndarray) -> np.ndarray:
    """The reference's second normalisation."""
    return (array / 127.5 - 1).astype(array.dtype)


def test_good_pairs_have_no_findings(written, capsys):
    assert not check(written.directory).findings
    assert "16 pairs keep the contract" in capsys.readouterr().out
    quick_check(written)


BREAKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shape": lambda a: a[:, :-1],
    "dtype": lambda a: a.astype(np.float64),
    "order": np.asfortranarray,
    "range": lambda a: a * np.float32(1.1),
    "nan": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 5, np.float32("nan"), a),
    "objects": lambda a: np.array([{"a": 1}], dtype=object),
}


@pytest.mark.parametrize("name", list(BREAKS))
@pytest.mark.parametrize("role", ["input", "target"])
def test_broken_tensors(written, name, role):
    path = getattr(first(written), role).path
    replace_array(written, path, BREAKS[name], relist=True)
    assert errors(written) == {name}
    assert any(path in finding.files for finding in examine(written.directory).findings)
    with pytest.raises(PairsError, match=name):  # and before the first batch
        quick_check(read_pairs(written.directory))


def test_infinity_is_found_as_nan_is(written):
    replace_array(
        written, first(written).input.path, lambda a: np.where(a == a.max(), np.float32("inf"), a), relist=True
    )
    assert errors(written) == {"nan"}


def test_height_width_colour_order_is_a_wrong_shape(written):
    replace_array(written, first(written).input.path, lambda a: a.transpose(1, 2, 0), relist=True)
    assert errors(written) == {"shape"}


@pytest.mark.parametrize("role", ["input", "target"])
def test_missing_partner(written, role):
    written.path(getattr(first(written), role)).unlink()
    found = examine(written.directory)
    assert {finding.check for finding in found.errors} == {"missing"}
    assert "its partner is there" in found.errors[0].what
    with pytest.raises(PairsError, match="missing"):
        quick_check(written)


@pytest.mark.parametrize("cut", [1, 100, 12_400])
def test_truncated_file(written, cut):
    path = written.path(first(written).input)
    path.write_bytes(path.read_bytes()[:-cut])
    assert errors(written) <= {"truncated", "unreadable"} and errors(written)
    with pytest.raises(PairsError):
        quick_check(written)


def test_a_flipped_bit_is_a_hash_mismatch(written):
    replace_array(written, first(written).input.path, lambda a: np.where(a == a.max(), a.min(), a), relist=False)
    assert errors(written) == {"hash"}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_double_normalisation_of_the_reference_is_refused(write_as, dtype):
    made = write_as(dtype=dtype)
    for path in {file.path for pair in made.pairs for file in (pair.input, pair.target)}:
        replace_array(made, path, squeeze, relist=True)
    assert "normalised twice" in errors(made)
    with pytest.raises(PairsError, match="normalised twice"):
        PairsDataModule(Data(), made.directory, workers=0).setup("fit")


def test_one_squeezed_side_is_found(written):
    replace_array(written, first(written).input.path, lambda a: np.maximum(squeeze(a), np.float32(-1)), relist=True)
    assert errors(written) == {"normalised twice"}


def test_a_black_photo_among_others_is_only_a_warning(written):
    for role, level in (("input", -1.0), ("target", -0.99)):
        replace_array(written, getattr(first(written), role).path, lambda a: np.full_like(a, level), relist=True)  # noqa: B023
    found = examine(written.directory)
    assert not found.errors and {finding.check for finding in found.findings} == {"normalised twice"}
    quick_check(read_pairs(written.directory))


def test_values_of_zero_to_one_are_no_signed_values(written):
    for path in {file.path for pair in written.pairs for file in (pair.input, pair.target)}:
        replace_array(written, path, lambda a: (a + 1) / 2, relist=True)
    assert "range" in errors(written)
    with pytest.raises(PairsError, match=r"these are \[0, 1\]"):
        quick_check(read_pairs(written.directory))


def test_identical_input_and_target(written):
    target = np.load(written.path(first(written).target))
    replace_array(written, first(written).input.path, lambda a: target, relist=True)
    assert errors(written) == {"identical"}


@pytest.fixture
def large(write_as) -> PairsManifest:
    """Native size, to have room for a shift."""
    return write_as(size=None)


@pytest.mark.parametrize("shift", [(3, 2), (-2, 4), (0, -2), (1, 1)])
def test_a_shifted_input_is_misaligned(large, shift):
    replace_array(large, first(large).input.path, lambda a: np.roll(a, shift, axis=(1, 2)), relist=True)
    (found,) = examine(large.directory).errors
    assert found.check == "misaligned"
    assert f"{shift[0]:+d} px down and {shift[1]:+d} px right" in found.what


def test_phase_correlation_against_known_shifts():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 48, 60), dtype=np.uint8)
    for down, right in [(0, 0), (5, -7), (-3, 2)]:
        assert shift_between(np.roll(image, (down, right), axis=(1, 2)), image) == (down, right)


def test_swapped_colours_of_one_side(written):
    replace_array(written, first(written).input.path, lambda a: np.ascontiguousarray(a[::-1]), relist=True)
    assert errors(written) == {"colours"}


def test_the_same_content_on_both_sides_of_the_split(written):
    train, test = written.split("train")[0], written.split("test")[0]
    for role in ("input", "target"):
        array = np.load(written.path(getattr(train, role)))
        replace_array(written, getattr(test, role).path, lambda a: array, relist=True)  # noqa: B023
    found = examine(written.directory).errors
    assert {finding.check for finding in found} == {"leak"}
    assert all("the same content" in finding.what for finding in found)


def test_versions_of_a_photo_on_both_sides_of_the_split(written):
    def change(content: dict) -> None:
        item = next(item for item in content["items"] if item["stem"].endswith("~1"))
        move(written, item, "test" if item["record"]["split"] != "test" else "val")

    edit_manifest(written, change)
    assert errors(written) == {"leak"}


def test_near_duplicates_on_both_sides_of_the_split(written):
    def change(content: dict) -> None:
        records = [item["record"] for item in content["items"]]
        train = next(record for record in records if record["split"] == "train")
        for test in (record for record in records if record["split"] == "test"):
            test["hash"] = f"{int(train['hash'], 16) ^ 3:016x}"
        content["spec"]["split"]["near_duplicate_bits"] = 2

    edit_manifest(written, change)
    (found,) = examine(written.directory).errors
    assert found.check == "leak" and "near-duplicates (2 bits or less)" in found.what


def test_files_that_the_manifest_does_not_know(written):
    np.save(written.directory / "train" / "extra_input.npy", np.zeros((3, 32, 32), np.float32))
    found = examine(written.directory)
    assert not found.errors
    assert [(finding.check, "partner is missing" in finding.what) for finding in found.findings] == [("unlisted", True)]


def test_an_empty_split_is_a_warning(written):
    edit_manifest(written, lambda c: [move(written, item, "train") for item in c["items"]])
    found = examine(written.directory)
    empty = {finding.what for finding in found.findings if finding.check != "unlisted"}
    assert not found.errors and empty == {"no pair in val", "no pair in test"}


def test_all_problems_together_in_table_json_and_message(written, capsys):
    a, b, c = written.pairs[0], written.pairs[1], written.pairs[2]
    written.path(a.input).unlink()
    replace_array(written, b.input.path, BREAKS["nan"], relist=True)
    replace_array(written, c.input.path, BREAKS["dtype"], relist=True)
    with pytest.raises(PairsError, match="3 problems") as error:
        check(written.directory)
    table = capsys.readouterr().out
    report = json.loads((written.directory / "doctor.json").read_text())
    assert report["by_check"] == {"dtype": 1, "missing": 1, "nan": 1}
    assert report["n_errors"] == 3 and report["n_pairs"] == 16
    for word in ("missing", "nan", "dtype"):
        assert word in table and word in str(error.value)


def test_a_shared_target_is_reported_once(written):
    pair = next(pair for pair in written.pairs if pair.stem.endswith("~1"))
    replace_array(written, pair.target.path, BREAKS["nan"], relist=True)
    assert len(examine(written.directory).findings) == 1


def test_uint8_normalised_twice_is_refused_too(write_as):
    made = write_as(dtype="uint8")
    for path in {file.path for pair in made.pairs for file in (pair.input, pair.target)}:
        replace_array(made, path, lambda a: grey_levels(squeeze(signed_array(a, "float32"))), relist=True)
    assert "normalised twice" in errors(made)
