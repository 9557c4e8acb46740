"""A keyed permutation is a permutation, whatever its length, key and the pieces it is asked in."""

import numpy as np
import pytest
from dseg.store.sampling.permutation import KeyedPermutation, derive_key
from hypothesis import given, settings
from hypothesis import strategies as st

lengths = st.one_of(st.integers(1, 70), st.sampled_from([255, 256, 257, 1000, 65537]))
keys = st.integers(0, 2**64 - 1)


@given(lengths, keys)
@settings(deadline=None, max_examples=60)
def test_every_number_comes_exactly_once(n, key):
    assert np.array_equal(np.sort(KeyedPermutation(n, key)(np.arange(n))), np.arange(n))


@given(lengths, keys, st.data())
@settings(deadline=None, max_examples=30)
def test_pieces_equal_the_whole(n, key, data):
    cut = data.draw(st.integers(0, n))
    order = KeyedPermutation(n, key)
    pieces = np.concatenate([order(np.arange(cut)), order(np.arange(cut, n))])
    assert np.array_equal(pieces, order(np.arange(n)))


def test_another_key_gives_another_order():
    orders = {tuple(KeyedPermutation(20, key)(np.arange(20))) for key in range(50)}
    assert len(orders) == 50


def test_orders_are_the_same_on_every_machine():
    """Written down once: a changed order would change every seed's model."""
    order = KeyedPermutation(10, derive_key(0, "member", 3, "epoch 1"))
    assert order(np.arange(10)).tolist() == [6, 0, 7, 9, 1, 2, 3, 8, 5, 4]


def test_each_position_is_equally_likely():
    """Chi-squared over where element 0 of 16 goes, 3200 keys: 15 degrees of freedom."""
    places = [int(KeyedPermutation(16, derive_key("p", k))(np.arange(1))[0]) for k in range(3200)]
    observed = np.bincount(places, minlength=16)
    assert ((observed - 200) ** 2 / 200).sum() < 37.7  # the 99.9th percentile


def test_neighbours_part():
    order = KeyedPermutation(100_000, 1)(np.arange(100_000))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02


def test_an_empty_permutation_is_refused():
    with pytest.raises(ValueError, match="at least one element, got 0"):
        KeyedPermutation(0, 1)


def test_keys_depend_on_every_part():
    parts = [(0, "a", 1), (0, "a", 2), (1, "a", 1), (0, "b", 1), (0, "a1"), ("0a", 1)]
    assert len({derive_key(*p) for p in parts}) == len(parts)
