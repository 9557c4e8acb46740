"""Folds of images: a partition, of equal sizes, each class spread over it."""

import numpy as np
import pytest
from dseg.classify.labels.folds import classes_in_one_fold, image_folds
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

presence = arrays(
    np.int64, st.tuples(st.integers(2, 20), st.integers(1, 6)), elements=st.integers(0, 2)
)


@given(presence, st.data())
@settings(deadline=None, max_examples=100)
def test_folds_partition_the_images_into_equal_parts(counts, data):
    k = data.draw(st.integers(2, len(counts)))
    seed = data.draw(st.integers(0, 5))
    folds = image_folds(counts, k, seed)
    assert sorted(image for fold in folds for image in fold) == list(range(len(counts)))
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert folds == image_folds(counts, k, seed)


@given(presence, st.data())
@settings(deadline=None, max_examples=100)
def test_the_rarest_class_is_spread_as_far_as_it_goes(counts, data):
    k = data.draw(st.integers(2, len(counts)))
    images_of = (counts > 0).sum(axis=0)
    if not images_of.any():
        return
    rarest = int(np.where(images_of > 0, images_of, 99).argmin())
    folds = image_folds(counts, k)
    spread = sum(bool((counts[list(fold), rarest] > 0).any()) for fold in folds)
    assert spread == min(k, images_of[rarest])


def test_seeds_deal_differently():
    counts = np.ones((12, 2), int)
    assert len({image_folds(counts, 3, seed) for seed in range(5)}) > 1


def test_as_many_folds_as_images_leave_one_out():
    assert sorted(image_folds(np.ones((4, 1), int), 4)) == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("k", [0, 1, 5])
def test_other_numbers_of_folds_are_refused(k):
    with pytest.raises(
        InputError, match=f"4 labelled images cannot be divided into {k} folds: give"
    ):
        image_folds(np.ones((4, 1), int), k)


def test_a_class_of_one_image_is_learnt_by_nobody_who_is_scored_on_it():
    counts = np.array([[1, 0, 1], [1, 0, 1], [1, 3, 0], [1, 0, 0]])
    assert classes_in_one_fold(counts, image_folds(counts, 2)) == (1,)
    assert classes_in_one_fold(counts[:, :1], image_folds(counts, 4)) == ()


def test_a_class_is_spread_though_its_images_were_dealt_for_rarer_ones():
    """The last class came with the first one already: that image counts for it too."""
    both, middle, last, none = (1, 0, 1), (0, 1, 0), (0, 0, 1), (0, 0, 0)
    counts = np.array([both, *3 * [middle], *3 * [last], *3 * [none]])
    for seed in range(10):
        folds = image_folds(counts, 2, seed)
        assert [int(counts[list(fold), 2].sum()) for fold in folds] == [2, 2]
