"""The split: shares, stability, and no leak of planted duplicates."""

from __future__ import annotations

import random
from collections import Counter

import cv2
import numpy as np
import pytest
from drawn_pairs import drawn_photo
from hypothesis import given, settings
from hypothesis import strategies as st

from jewelenh.config import Split
from jewelenh.errors import PairsError
from jewelenh.pairs.split import assign, group_photos, near_pairs, perceptual_hash

PLAIN = Split(near_duplicate_bits=None)


def alone(n, prefix="photo"):
    return {f"{prefix}_{i:04d}.jpg": f"{prefix}_{i:04d}.jpg" for i in range(n)}


def counts(sides):
    return Counter(sides.values())


def bits_between(a, b):
    return bin(a ^ b).count("1")


@pytest.mark.parametrize("n", [10, 279, 490])
def test_shares_are_80_10_10(n):
    found = counts(assign(alone(n), PLAIN, 42))
    assert (found["val"], found["test"]) == (round(n / 10), round(n / 10))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=30), st.integers(0, 1000))
def test_groups_stay_whole_and_no_split_is_empty(sizes, seed):
    groups = {f"{g}/{i}": f"{g}/0" for g, size in enumerate(sizes) for i in range(size)}
    sides = assign(groups, PLAIN, seed)
    assert set(sides) == set(groups)
    assert all(sides[photo] == sides[group] for photo, group in groups.items())
    assert set(sides.values()) == {"train", "val", "test"}


@pytest.mark.parametrize(("n", "expected"), [(1, {"train": 1}), (2, {"train": 1, "val": 1})])
def test_too_few_groups(n, expected):
    assert counts(assign(alone(n), PLAIN, 42)) == expected


def test_shares_of_zero_stay_empty():
    assert counts(assign(alone(20), Split(train=0.9, val=0.1, test=0), 1)) == {"train": 18, "val": 2}
    assert counts(assign(alone(20), Split(train=0, val=0, test=1), 1)) == {"test": 20}


def test_a_group_larger_than_a_share_goes_to_train():
    groups = alone(50) | {f"big_{i}": "big_0" for i in range(20)}
    for seed in range(20):
        assert assign(groups, PLAIN, seed)["big_0"] == "train"


def test_same_seed_same_split_whatever_the_order():
    names = list(alone(100).items())
    sides = assign(dict(names), PLAIN, 42)
    random.Random(0).shuffle(names)
    assert assign(dict(names), PLAIN, 42) == sides
    assert assign(dict(names), PLAIN, 43) != sides


def test_new_photos_move_few_old_ones_and_none_between_val_and_test():
    before = assign(alone(300), PLAIN, 42)
    after = assign(alone(300) | alone(30, "new"), PLAIN, 42)
    moved = [(before[photo], after[photo]) for photo in before if before[photo] != after[photo]]
    assert len(moved) <= 6  # a fresh draw would move about 100
    assert all("train" in move for move in moved)


def test_the_hash_survives_what_retouching_does_and_tells_pieces_apart():
    photos = [drawn_photo(i, (128, 128)) for i in range(12)]
    for photo in photos:
        small = cv2.resize(photo, (96, 96), interpolation=cv2.INTER_AREA)
        jpeg = cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
        brighter = cv2.convertScaleAbs(photo, alpha=0.9, beta=10)
        for changed in (small, jpeg, brighter):
            assert bits_between(perceptual_hash(photo), perceptual_hash(changed)) <= 4
    hashes = [perceptual_hash(photo) for photo in photos]
    assert min(bits_between(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 8


def test_the_hash_against_opencvs_cosine_transform():
    photo = drawn_photo(5, (64, 64))
    grey = photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    low = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8]
    expected = "".join("1" if value > np.median(low) else "0" for value in low.ravel())
    assert f"{perceptual_hash(photo):064b}" == expected


def test_sixteen_bits_hash_as_eight():
    photo = drawn_photo(3)
    assert perceptual_hash(photo.astype(np.uint16) * 257) == perceptual_hash(photo)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 64))
def test_near_pairs_by_counting_bits(hashes, max_bits):
    expected = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if bits_between(hashes[i], hashes[j]) <= max_bits
    ]
    assert near_pairs(hashes, max_bits) == expected


def test_duplicates_of_duplicates_are_one_group():
    hashes = {"a": 0b0, "b": 0b11, "c": 0b1111, "d": 0xFFFF}
    assert len(set(group_photos(hashes, 2, 42).values())) == 2
    assert len({group_photos(hashes, 2, 42)[name] for name in "abc"}) == 1
    assert len(set(group_photos(hashes, None, 42).values())) == 4


def test_no_leak_on_a_set_with_planted_duplicates():
    photos, originals = {}, {}
    for i in range(40):
        photo = drawn_photo(i, (96, 96))
        photos[f"{i:02d}"] = originals[f"{i:02d}"] = photo
        if i % 4 == 0:  # the same piece again: smaller file, resaved, a little darker
            data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
            photos[f"{i:02d}-again"] = cv2.convertScaleAbs(cv2.imdecode(data, cv2.IMREAD_COLOR), alpha=0.97)
    hashes = {name: perceptual_hash(photo) for name, photo in photos.items()}
    planted = [(name, name.removesuffix("-again")) for name in photos if name.endswith("-again")]
    plain_leaks = leaks = 0
    for seed in range(20):
        sides = assign(group_photos(hashes, 4, seed), Split(), seed)
        plain = assign({name: name for name in photos}, Split(), seed)
        leaks += sum(sides[a] != sides[b] for a, b in planted)
        plain_leaks += sum(plain[a] != plain[b] for a, b in planted)
    assert leaks == 0
    assert plain_leaks > 20  # else this test would show nothing


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=6, max_size=30), st.integers(0, 1000))
def test_every_photo_is_in_the_test_of_one_fold_with_its_group(sizes, seed):
    groups = {f"{group}-{i}": f"group-{group}" for group, size in enumerate(sizes) for i in range(size)}
    tested: Counter[str] = Counter()
    for fold in range(5):
        sides = assign(groups, Split(folds=5, fold=fold, near_duplicate_bits=None), seed)
        tested.update(photo for photo, side in sides.items() if side == "test")
        assert len({(groups[photo], side) for photo, side in sides.items()}) == len(sizes)
        assert set(sides.values()) == {"train", "val", "test"}
    assert set(tested) == set(groups) and set(tested.values()) == {1}


def test_folds_are_of_one_size_and_need_more_groups_than_they_are():
    for fold in range(5):
        found = counts(assign(alone(27), Split(folds=5, fold=fold), 42))
        assert found["test"] in {5, 6} and found["val"] == 3
    with pytest.raises(PairsError, match=r"Too few groups"):
        assign(alone(5), Split(folds=5), 42)


@pytest.mark.parametrize("values", [{"fold": 1}, {"folds": 5, "fold": 5}, {"folds": 1}])
def test_a_fold_is_one_of_the_folds(values):
    with pytest.raises(ValueError, match="fold"):
        Split(**values)
