"""The contract: values through storage and back, .npy files that are never unpickled, manifests that are refused."""

from __future__ import annotations

import contextlib
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jewelenh.config import Pairs
from jewelenh.errors import PairsError, StageError
from jewelenh.images import grey_levels, signed_array, to_signed
from jewelenh.manifest import fingerprint_of
from jewelenh.pairs.contract import read_pairs
from jewelenh.pairs.npy import npy_bytes, read_header, view
from jewelenh.pairs.tensors import fit, tensor_of

images = hnp.arrays(np.uint8, st.tuples(st.integers(8, 20), st.integers(8, 20), st.just(3)))
GREY_LEVEL = 2 / 255


@settings(max_examples=40, deadline=None)
@given(images)
def test_uint8_storage_is_exact(pixels):
    stored = tensor_of(pixels, Pairs(size=None, dtype="uint8"))
    assert stored.dtype == np.uint8 and stored.flags.c_contiguous
    assert np.array_equal(stored, pixels.transpose(2, 0, 1))
    assert np.array_equal(grey_levels(stored), pixels.transpose(2, 0, 1))


@settings(max_examples=40, deadline=None)
@given(images)
def test_float32_storage_brings_every_grey_level_back(pixels):
    stored = tensor_of(pixels, Pairs(size=None, dtype="float32"))
    assert stored.min() >= -1 and stored.max() <= 1
    assert np.array_equal(grey_levels(stored), pixels.transpose(2, 0, 1))


@settings(max_examples=40, deadline=None)
@given(images)
def test_float16_storage_is_within_half_a_grey_level(pixels):
    stored = tensor_of(pixels, Pairs(size=None, dtype="float16"))
    exact = pixels.transpose(2, 0, 1).astype(np.float64) / 255 * 2 - 1
    assert stored.dtype == np.float16
    assert np.abs(stored.astype(np.float64) - exact).max() <= GREY_LEVEL / 2
    assert np.array_equal(grey_levels(stored), pixels.transpose(2, 0, 1))


def test_known_values():
    pixels = np.array([0, 51, 255], np.uint8)
    assert signed_array(pixels, "float32").tolist() == pytest.approx([-1, -0.6, 1])
    assert signed_array(np.array([0, 65535], np.uint16), "float32").tolist() == [-1, 1]


def test_numpy_and_torch_conversions_give_the_same_bits():
    pixels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(signed_array(pixels, "float32"), to_signed(torch.from_numpy(pixels)).numpy())


def test_the_dtypes_hold_the_same_picture_after_resizing():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    made = [grey_levels(tensor_of(pixels, Pairs(size=32, dtype=dtype))) for dtype in ("uint8", "float16", "float32")]
    assert np.array_equal(made[0], made[1]) and np.array_equal(made[0], made[2])


def test_sixteen_bit_photos_keep_their_depth_in_floats():
    pixels = np.full((8, 8, 3), 40_000, np.uint16)
    assert tensor_of(pixels, Pairs(size=None))[0, 0, 0] == pytest.approx(40_000 / 65535 * 2 - 1, abs=1e-7)
    assert tensor_of(pixels, Pairs(size=None, dtype="uint8"))[0, 0, 0] == 156  # 40000 / 257 = 155.6


@pytest.mark.parametrize("side", [(80, 160), (160, 80), (70, 71), (64, 64)])
def test_no_photo_is_squeezed_into_its_square(side):
    circle = np.full((*side, 3), 255, np.uint8)
    y, x = np.ogrid[: side[0], : side[1]]
    radius = min(side) / 4
    circle[(y - side[0] / 2 + 0.5) ** 2 + (x - side[1] / 2 + 0.5) ** 2 <= radius**2] = 0
    made = fit(circle, Pairs(size=64))
    assert made.shape == (64, 64, 3)
    rows, columns = np.nonzero(made[..., 0] < 128)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 2  # still a circle
    assert abs(rows.mean() - 31.5) < 1 and abs(columns.mean() - 31.5) < 1  # still in the middle


class Explosive:
    """Says so when something unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("an object array was unpickled",))


def test_object_arrays_are_never_unpickled(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([Explosive()], dtype=object), allow_pickle=True)
    with pytest.raises(PairsError, match="never unpickled"):
        read_header(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a readable"),
        (b"\x93NUMPY\x01\x00", "not a readable"),
        (b"JFIF" * 40, "not a readable"),
        (npy_bytes(np.zeros((3, 4, 4)))[:-1], "truncated"),
        (npy_bytes(np.zeros((3, 4, 4))) + b"x", "longer"),
        (pickle.dumps({"a": 1}), "not a readable"),
    ],
)
def test_files_that_are_no_whole_tensors_are_refused(tmp_path, data, message):
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with pytest.raises(PairsError, match=message) as error:
        read_header(path)
    assert str(path) in str(error.value)


def test_a_view_reads_what_numpy_reads(tmp_path):
    for array in (np.arange(48, dtype=np.float16).reshape(3, 4, 4), np.asfortranarray(np.random.rand(3, 5, 2))):
        np.save(tmp_path / "a.npy", array)
        header = read_header(tmp_path / "a.npy")
        assert header.fortran == (not array.flags.c_contiguous)
        assert np.array_equal(view(tmp_path / "a.npy", header), array)


def test_a_folder_without_manifest_is_refused_with_the_fix(tmp_path):
    with pytest.raises(PairsError, match="import="):
        read_pairs(tmp_path)
    with pytest.raises(PairsError, match="no such pairs directory"):
        read_pairs(tmp_path / "nowhere")


def edit_manifest(directory, change):
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    content["fingerprint"] = fingerprint_of(content["spec"])
    path.write_text(json.dumps(content))


def other_split(record):
    """Move a photo to another split by hand, as who wants to test on it would."""
    record["split"] = "test" if record["split"] != "test" else "train"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(kind="enhanced"), "something else"),
        (lambda c: c["spec"]["format"].update(version=2), "another version"),
        (lambda c: c["spec"]["format"].update(range="unit"), "does not describe pairs"),
        (lambda c: c["spec"]["format"].update(layout="hwc"), "does not describe pairs"),
        (lambda c: c["spec"]["format"].update(colours="bgr"), "does not describe pairs"),
        (lambda c: c["items"][0]["record"].update(split="dev"), "does not describe pairs"),
        (lambda c: c["items"][0]["files"].pop("target"), "does not describe pairs"),
        (lambda c: other_split(c["items"][0]["record"]), "lies outside of"),
        (lambda c: c["items"][0]["files"]["input"].update(path="../../etc/a.npy"), "does not describe pairs"),
    ],
)
def test_manifests_that_promise_something_else_are_refused(written, change, message):
    edit_manifest(written.directory, change)
    with pytest.raises(PairsError, match=message):
        read_pairs(written.directory)


def test_a_manifest_changed_by_hand_is_refused(written):
    path = written.directory / "manifest.json"
    path.write_text(path.read_text().replace('"dtype": "float32"', '"dtype": "float16"'))
    with pytest.raises(StageError, match="changed by hand"):
        read_pairs(written.directory)


def test_one_thread_at_a_time_parses_a_header(tmp_path, monkeypatch):
    """Two at once is what CPython 3.11.7 now and then answers with a SystemError."""
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), np.float32))
    real, meeting, met = np.lib.format.read_array_header_1_0, threading.Barrier(2), []

    def parse(file):
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)  # alone: nobody else comes while this one is inside
            met.append(file)
        return real(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", parse)
    with ThreadPoolExecutor(2) as pool:
        assert {header.shape for header in pool.map(read_header, [tmp_path / "a.npy"] * 2)} == {(3, 4, 4)}
    assert not met
