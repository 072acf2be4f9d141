"""Cuts and caches: the same pixels in input and target, and the same batch whatever serves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_pairs import drawn_photo
from hypothesis import given
from hypothesis import strategies as st

from jewelenh.errors import PairsError
from jewelenh.pairs import dataset as dataset_module
from jewelenh.pairs.check import quick_check
from jewelenh.pairs.dataset import (
    Cut,
    Cutting,
    EpochSampler,
    PairsDataset,
    centre,
    draw,
    load,
    to_network,
    turned,
)
from jewelenh.pairs.npy import read_header, view

RANDOM = Cutting(crop=12, is_random=True, augment=True, seed=5)


def dataset(made, cutting=RANDOM, cache="none", split="train"):
    headers = quick_check(made)
    images = None if cache == "none" else load(made, made.pairs, headers)
    return PairsDataset(made, made.split(split), headers, cutting, images)


def network_batch(data, keys):
    return to_network(data.__getitems__(keys))


def n_bytes(cache):
    return sum(image.nbytes for image in cache.values())


@given(
    st.tuples(st.integers(8, 30), st.integers(8, 30)),
    st.integers(1, 8) | st.none(),
    st.booleans(),
    st.integers(0, 2**31),
    st.text(max_size=10),
)
def test_cuts_lie_inside_the_image(side, crop, augment, epoch, stem):
    cut = draw(side, crop, augment, (42, epoch, stem))
    assert 0 <= cut.top <= cut.top + cut.height <= side[0]
    assert 0 <= cut.left <= cut.left + cut.width <= side[1]
    image = np.arange(side[0] * side[1]).reshape(side)
    assert cut.of(image).shape == cut.shape
    if crop is None:
        assert sorted(cut.of(image).ravel()) == sorted(image.ravel())
        assert cut.shape == side  # a batch of whole images stays of one size


def test_all_places_and_all_eight_turns_are_drawn_evenly():
    cuts = [draw((20, 16), 12, True, (1, 0, str(i))) for i in range(4000)]
    for values, n_values in (([c.top for c in cuts], 9), ([c.left for c in cuts], 5), ([c.dihedral for c in cuts], 8)):
        counts = np.bincount(values, minlength=n_values)
        assert len(counts) == n_values
        expected = 4000 / n_values
        assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-squared, at most 8 degrees of freedom


def test_the_eight_turns_are_different_and_known():
    image = np.array([[1, 2], [3, 4]])
    assert len({turned(image, d).tobytes() for d in range(8)}) == 8
    assert turned(image, 1).tolist() == [[2, 4], [1, 3]]  # a quarter counter-clockwise
    assert turned(image, 4).tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
@pytest.mark.parametrize("dihedral", range(8))
def test_every_way_to_copy_a_cut_turns_alike(dihedral, dtype):
    image = np.random.default_rng(0).integers(0, 256, (3, 20, 30)).astype(dtype)
    cut = Cut(3, 5, 12, 12, dihedral)
    into = np.zeros((3, 12, 12), dtype)
    cut.copy(image, into)
    assert np.array_equal(into, turned(image[:, 3:15, 5:17], dihedral))


def test_without_augmentation_nothing_is_turned():
    assert all(draw((20, 20), 8, False, (1, 0, str(i))).dihedral == 0 for i in range(50))


def test_the_centre():
    assert centre((10, 20), 4) == Cut(3, 8, 4, 4)
    assert centre((10, 20), None) == Cut(0, 0, 10, 20)
    assert centre((10, 20), 16) == Cut(0, 2, 10, 16)


@pytest.fixture
def coordinates(upstream, tmp_path):
    """Pairs whose pixels say where they come from: red is the row, green the column; blue tells input from target."""
    from drawn_pairs import small_pairs

    rows, columns = np.indices((40, 40)).astype(np.uint8)
    upstream.items["inputs"].clear()  # one version of each
    for item in upstream.items["raw"]:
        for kind, blue in (("inputs", 10), ("targets", 200)):
            record = {"photo": item.stem}
            upstream.put(kind, item.stem, np.dstack([rows * 3, columns * 3, np.full_like(rows, blue)]), record)
    return upstream.write(tmp_path / "coordinates", small_pairs(size=None, dtype="uint8"))


@pytest.mark.parametrize("cache", ["none", "ram"])
@pytest.mark.parametrize("crop", [12, None])
def test_input_and_target_show_the_same_pixels_turned_the_same_way(coordinates, cache, crop):
    data = dataset(coordinates, Cutting(crop=crop, is_random=True, augment=True), cache)
    dihedrals = set()
    for epoch in range(6):
        keys = [(epoch, index) for index in range(len(data))]
        batch = network_batch(data, keys)
        levels = {role: ((batch[role] + 1) * 127.5).round().int() for role in ("input", "target")}
        assert torch.equal(levels["input"][:, :2], levels["target"][:, :2])
        assert (levels["input"][:, 2] == 10).all() and (levels["target"][:, 2] == 200).all()
        for position, (_, index) in enumerate(keys):
            cut = data.cut(data.pairs[index], epoch)
            rows, columns = np.indices((40, 40))
            where = np.stack([rows, columns])
            expected = np.stack([cut.of(plane) for plane in where]) * 3
            assert np.array_equal(levels["input"][position, :2].numpy(), expected)
            dihedrals.add(cut.dihedral)
    assert dihedrals == set(range(8))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("cutting", [RANDOM, Cutting(is_random=True, augment=True), Cutting(crop=9)])
def test_every_cache_gives_the_same_batch(write_as, dtype, cutting):
    made = write_as(dtype=dtype)
    keys = [(3, 4), (3, 0), (3, 7), 2]
    batches = [network_batch(dataset(made, cutting, cache), keys) for cache in ("none", "ram")]
    for batch in batches:
        assert batch["stem"] == batches[0]["stem"]
        for role in ("input", "target"):
            assert batch[role].dtype == torch.float32 and batch[role].shape[:2] == (4, 3)
            assert torch.equal(batch[role], batches[0][role])


def test_batches_travel_in_the_storage_dtype_and_float32_of_8_bits_is_kept_in_a_quarter(write_as):
    data = dataset(write_as(dtype="uint8"))
    assert data.__getitems__([0])["input"].dtype == torch.uint8
    large, small = (dataset(write_as(dtype=dtype), RANDOM, "ram").cache for dtype in ("float16", "float32"))
    assert n_bytes(large) == 2 * n_bytes(small) and {image.dtype for image in small.values()} == {np.dtype("uint8")}


def test_versions_share_their_target_in_the_cache(written):
    assert n_bytes(load(written, written.pairs, quick_check(written))) == (16 + 12) * 3 * 32 * 32


def test_a_single_item_is_one_pair_without_batch(written):
    item = dataset(written, Cutting())[3]
    assert item["stem"] == written.split("train")[3].stem
    assert np.array_equal(item["input"].numpy(), np.load(written.path(written.split("train")[3].input)))


def test_mapped_files_read_only_the_pages_of_the_crop(tmp_path):
    """Counted by the kernel: pages of the map that are in this process after a crop was taken."""
    path = tmp_path / "large.npy"
    np.save(path, np.zeros((3, 2048, 2048), np.float32))  # 48 MiB
    image = view(path, read_header(path))
    assert not image.flags.writeable
    Cut(1000, 1000, 32, 32).of(image).sum()
    rows = Path("/proc/self/smaps").read_text().split("large.npy")[1].splitlines()
    resident_kib = next(int(row.split()[1]) for row in rows if row.startswith("Rss:"))
    assert 0 < resident_kib <= 24 * 1024  # half: 32 rows of 8 KiB a colour, and as much around them as the kernel likes


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_a_file_that_changed_since_the_manifest_is_refused(written, cache):
    headers = quick_check(written)
    path = written.path(written.pairs[0].input)
    data = bytearray(path.read_bytes())
    data[-2] ^= 4
    path.write_bytes(data)
    with pytest.raises(PairsError, match="not the one in the manifest"):
        PairsDataset(
            written, written.pairs, headers, cache=load(written, written.pairs, headers) if cache == "ram" else None
        )[0]
    with pytest.raises(PairsError, match="not the one in the manifest"):
        written.pixels(written.pairs[0].input)


def test_pairs_larger_than_memory_are_refused_before_reading(written, monkeypatch):
    monkeypatch.setattr(dataset_module, "free_memory", lambda: 1000)
    with pytest.raises(PairsError, match=r"do not fit into memory[\s\S]*data.cache=none"):
        load(written, written.pairs, quick_check(written))


def test_a_crop_larger_than_the_images_is_refused(written):
    with pytest.raises(PairsError, match=r"smaller than the crop[\s\S]*data.crop=32"):
        dataset(written, Cutting(crop=40, is_random=True))


def test_native_sizes_need_crops_to_make_batches(tmp_path, upstream):
    from drawn_pairs import small_pairs

    upstream.photo("wide.jpg", drawn_photo(50, (40, 64)))
    made = upstream.write(tmp_path / "native", small_pairs(size=None))
    wide = next(pair for pair in made.pairs if pair.stem == "wide.jpg")
    headers = quick_check(made)
    for cache in ("none", "ram"):
        images = None if cache == "none" else load(made, made.pairs, headers)
        for cutting in (RANDOM, Cutting(is_random=True, augment=True)):
            data = PairsDataset(made, [wide, made.pairs[0]], headers, cutting, images)
            assert network_batch(data, [(0, 0)])["input"].shape[1:] == ((3, 12, 12) if cutting.crop else (3, 40, 64))
            if cutting.crop:
                assert network_batch(data, [(1, 0), (1, 1)])["input"].shape == (2, 3, 12, 12)
            else:
                with pytest.raises(PairsError, match=r"different sizes[\s\S]*data.crop"):
                    data.__getitems__([0, 1])


def test_order_is_drawn_from_seed_and_epoch(written):
    data = dataset(written)

    def order(seed, epoch):
        sampler = EpochSampler(data, 1, 0, shuffle=True, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 0) == order(1, 0)
    assert sorted(order(1, 3)) == [(3, index) for index in range(len(data))]
    assert len({tuple(index for _, index in order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4
    assert list(EpochSampler(data, 1, 0, shuffle=False)) == [(0, index) for index in range(len(data))]


@pytest.mark.parametrize("shuffle", [True, False])
def test_two_ranks_see_disjoint_halves(written, shuffle):
    data = dataset(written)
    halves = [list(EpochSampler(data, 2, rank, shuffle=shuffle)) for rank in range(2)]
    assert len(halves[0]) == len(halves[1]) == -(-len(data) // 2)
    n_padded = len(data) % 2
    assert len(set(halves[0]) & set(halves[1])) <= n_padded
    assert set(halves[0]) | set(halves[1]) == {(0, index) for index in range(len(data))}
