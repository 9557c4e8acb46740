"""Rounds of an epoch: stratified by image, without replacement, complete."""

from itertools import pairwise

import numpy as np
from dseg.store.sampling.rounds import (
    MIN_PIXELS_PER_IMAGE,
    group_size,
    rounds_of_epoch,
    stratified_counts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

image_sizes = st.lists(st.integers(1, 900), min_size=1, max_size=12)


def starts_of(sizes):
    return np.concatenate([[0], np.cumsum(sizes)])


@given(image_sizes, st.integers(64, 2000), st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_rounds_of_an_epoch_take_each_pixel_once(sizes, pool, seed, epoch):
    rounds = list(rounds_of_epoch(starts_of(sizes), pool, seed, epoch))
    assert np.array_equal(np.sort(np.concatenate(rounds)), np.arange(sum(sizes)))


@given(st.lists(st.integers(200, 900), min_size=1, max_size=8), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_a_round_takes_of_every_image_its_share_to_within_a_pixel(sizes, seed):
    starts, pool = starts_of(sizes), MIN_PIXELS_PER_IMAGE * len(sizes)
    rounds = list(rounds_of_epoch(starts, pool, seed, 0))
    assert all(len(r) == pool for r in rounds[:-1])
    for taken in rounds[:-1]:
        per_image = np.histogram(taken, starts)[0]
        share = np.array(sizes) * pool / sum(sizes)
        assert (abs(per_image - share) < 2).all()


def test_epochs_and_seeds_differ_and_repeat():
    def first(seed, epoch):
        return next(rounds_of_epoch(starts_of([500, 500]), 128, seed, epoch)).tolist()

    assert first(0, 0) == first(0, 0)
    assert len({tuple(first(s, e)) for s in range(3) for e in range(3)}) == 9


def test_few_pixels_an_image_make_groups_of_images():
    starts = starts_of([1000] * 50)
    pool = 10 * MIN_PIXELS_PER_IMAGE
    assert group_size(50, pool) == 10
    rounds = list(rounds_of_epoch(starts, pool, 0, 0))
    seen = [len(np.unique(np.searchsorted(starts, r, side="right"))) for r in rounds]
    assert max(seen) == 10
    assert np.array_equal(np.sort(np.concatenate(rounds)), np.arange(50_000))


def test_groups_of_tiny_images_still_fill_a_pool():
    rounds = list(rounds_of_epoch(starts_of([3] * 5000), 6400, 0, 0))
    assert len(rounds[0]) == 6400


@given(image_sizes, st.lists(st.floats(0.001, 0.999), min_size=12, max_size=12), st.data())
@settings(deadline=None, max_examples=100)
def test_counts_are_exact_and_never_fall(sizes, phases, data):
    counts, phase = np.array(sizes), np.array(phases[: len(sizes)])
    wanted = sorted(data.draw(st.lists(st.integers(0, sum(sizes)), min_size=2, max_size=6)))
    taken = [stratified_counts(counts, phase, w) for w in wanted]
    assert [int(t.sum()) for t in taken] == wanted
    assert all((b >= a).all() for a, b in pairwise(taken))
    assert all((t <= counts).all() for t in taken)


def test_equal_phases_are_no_trouble():
    """Every pixel ties with one of each other image."""
    counts, phase = np.array([4, 4, 4]), np.full(3, 0.5)
    assert [stratified_counts(counts, phase, w).tolist() for w in (0, 1, 5, 12)] == [
        [0, 0, 0],
        [1, 0, 0],
        [2, 2, 1],
        [4, 4, 4],
    ]
