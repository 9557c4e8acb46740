"""Drawn pixels stand for all: weighted sums over them are those over all pixels."""

import numpy as np
import pytest
from dseg.classify.evaluation.estimates import IouEstimate, weighted_counts
from dseg.classify.labels.pixel_sample import allocate, draw_pixels
from hypothesis import example, given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8), st.integers(1, 600))
@example([442], 442)
def test_each_class_gives_some_and_none_more_than_it_has(counts, most):
    counts = np.array(counts)
    taken = allocate(counts, most)
    assert (taken <= counts).all()
    assert ((taken > 0) == (counts > 0)).all()
    assert taken.sum() <= max(most, 0) + (counts > 0).sum()
    if counts.sum() <= most:
        assert (taken == counts).all()


def test_all_are_taken_before_any_class_is_left_short():
    assert allocate(np.array([1000, 3, 3]), 506).tolist() == [500, 3, 3]


@pytest.fixture
def labelled():
    """Three images with a rare class, the pixels of one after the other."""
    rng = np.random.default_rng(3)
    parts = [rng.choice(4, n, p=p) for n, p in zip((900, 400, 1500), SHARES, strict=True)]
    return np.concatenate(parts), np.array([0, 900, 1300, 2800])


SHARES = ((0.7, 0.25, 0.04, 0.01), (0.5, 0.5, 0, 0), (0.9, 0, 0.1, 0))


def test_weights_of_a_class_add_up_to_its_pixels_in_each_image(labelled):
    y, starts = labelled
    drawn = draw_pixels(y, starts, 60, seed=0)
    assert (np.diff(drawn.index) > 0).all()
    for image in range(3):
        for c in range(4):
            here = (drawn.image == image) & (y[drawn.index] == c)
            true = (y[starts[image] : starts[image + 1]] == c).sum()
            assert drawn.weight[here].sum() == pytest.approx(true)
    assert ((drawn.index >= starts[drawn.image]) & (drawn.index < starts[drawn.image + 1])).all()


def test_a_seed_gives_the_same_pixels_and_an_image_its_own(labelled):
    y, starts = labelled
    one, again, other = (draw_pixels(y, starts, 60, seed) for seed in (1, 1, 2))
    assert (one.index == again.index).all()
    assert (one.index != other.index).any()
    first = draw_pixels(y[:900], starts[:2], 60, 1)  # whatever stands beside it
    assert (one.index[one.image == 0] == first.index).all()


def test_weighted_iou_is_that_of_all_pixels_where_all_are_drawn(labelled):
    y, starts = labelled
    rng = np.random.default_rng(0)
    predicted = np.where(rng.random(len(y)) < 0.3, rng.integers(0, 4, len(y)), y)
    drawn = draw_pixels(y, starts, len(y), seed=0)
    estimate = IouEstimate(_counts(drawn, y, predicted))
    np.testing.assert_allclose(estimate.iou, plain_iou(y, predicted))


def test_weighted_counts_are_unbiased(labelled):
    y, starts = labelled
    rng = np.random.default_rng(0)
    # errors depend on the class: drawn alike, unweighted, they would tell another IoU
    predicted = np.where(rng.random(len(y)) < 0.1 + 0.2 * (y == 0), rng.integers(0, 4, len(y)), y)
    counts = [
        _counts(draw_pixels(y, starts, 80, seed), y, predicted).sum(axis=0) for seed in range(300)
    ]
    true = np.zeros((4, 4))
    np.add.at(true, (y, predicted), 1)
    error = np.std(counts, axis=0) / np.sqrt(300)
    assert (np.abs(np.mean(counts, axis=0) - true) <= 4 * error + 1e-9).all()
    ious = [IouEstimate(one[None]).mean_iou for one in counts]
    assert np.mean(ious) == pytest.approx(plain_iou(y, predicted).mean(), abs=0.02)
    drawn = draw_pixels(y, starts, 80, 0).index
    assert abs(plain_iou(y[drawn], predicted[drawn]).mean() - np.mean(ious)) > 0.05


def _counts(drawn, y, predicted):
    i = drawn.index
    return weighted_counts(y[i], predicted[i], drawn.weight, drawn.image, (3, 4))


def plain_iou(y, predicted):
    """IoU of each class, counted."""
    return np.array(
        [
            ((y == c) & (predicted == c)).sum() / ((y == c) | (predicted == c)).sum()
            for c in range(4)
        ]
    )


def test_images_that_are_labelled_alike_do_not_give_the_same_pixels():
    y = np.tile(np.repeat([0, 1], 300), 2)
    drawn = draw_pixels(y, np.array([0, 600, 1200]), 60, seed=0)
    first, second = (drawn.index[drawn.image == image] for image in (0, 1))
    assert (first != second - 600).any()
