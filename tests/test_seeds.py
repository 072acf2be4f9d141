"""Seeds are a stable function of names."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from jewelenh.seeds import generator_for, seed_for


def test_the_seed_is_sha256_of_length_prefixed_names():
    data = b"".join(len(part).to_bytes(8, "little") + part for part in [b"42", b"degrade", b"mild"])
    assert seed_for(42, "degrade", "mild") == int.from_bytes(hashlib.sha256(data).digest()[:16], "little")


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_different_names_give_different_seeds(first, second):
    assert (seed_for(*first) == seed_for(*second)) == (first == second)


def test_a_generator_repeats_its_draws():
    assert (
        generator_for(1, "a").integers(0, 1 << 30, 5).tolist() == generator_for(1, "a").integers(0, 1 << 30, 5).tolist()
    )
    assert generator_for(1, "a").integers(1 << 30) != generator_for(1, "b").integers(1 << 30)
