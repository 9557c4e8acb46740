"""mIoU of counts by image, and its error, beside the plain ways."""

import numpy as np
import pytest
from dseg.classify.evaluation.estimates import IouEstimate
from dseg.classify.evaluation.metrics import Confusion


def make_counts(seed: int, images: int = 6, classes: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 50, (images, classes, classes)).astype(float)


def test_iou_is_that_of_the_confusion_matrix():
    counts = make_counts(0)
    confusion = Confusion(3)
    confusion.counts[:3, :3] = counts.sum(axis=0)
    estimate = IouEstimate(counts)
    np.testing.assert_allclose(estimate.iou, confusion.iou_per_class())
    assert estimate.mean_iou == pytest.approx(confusion.mean_iou())


def test_a_class_that_is_nowhere_does_not_count():
    counts = make_counts(0)
    counts[:, 1] = counts[:, :, 1] = 0
    estimate = IouEstimate(counts)
    assert np.isnan(estimate.iou[1])
    assert estimate.mean_iou == pytest.approx(np.mean(estimate.iou[[0, 2]]))


def test_the_error_of_a_gain_is_the_jackknife_of_the_differences():
    one, two = IouEstimate(make_counts(1)), IouEstimate(make_counts(2))
    gains = []
    for left_out in range(6):
        rest = [i for i in range(6) if i != left_out]
        gains.append(
            IouEstimate(one.counts[rest]).mean_iou - IouEstimate(two.counts[rest]).mean_iou
        )
    expected = np.sqrt(5 / 6 * np.sum((gains - np.mean(gains)) ** 2))
    assert one.difference_error(two) == pytest.approx(expected)
    assert two.difference_error(one) == pytest.approx(expected)


def test_equal_estimates_differ_by_nothing():
    one = IouEstimate(make_counts(1))
    assert one.difference_error(IouEstimate(one.counts.copy())) == 0


def test_what_is_hard_for_both_is_no_error_of_the_difference():
    """Images differ much, the two sets hardly: paired, the difference is well known."""
    counts = np.zeros((8, 2, 2))
    for i, wrong in enumerate((0, 10, 20, 30, 40, 50, 60, 70)):
        counts[i] = [[100 - wrong, wrong], [wrong, 100 - wrong]]
    better = counts + np.array([[1, -1], [-1, 1]]) * (counts > 0)
    gain = IouEstimate(better).mean_iou - IouEstimate(counts).mean_iou
    assert IouEstimate(better).difference_error(IouEstimate(counts)) < gain / 3


def test_a_class_of_one_image_is_left_out_where_that_image_is():
    one, two = make_counts(1), make_counts(2)
    for counts in (one, two):
        counts[1:, 2] = counts[1:, :, 2] = 0
    gains = []
    for left_out in range(6):
        rest = [i for i in range(6) if i != left_out]
        each = IouEstimate(one[rest]).iou - IouEstimate(two[rest]).iou
        gains.append(np.nanmean(each))
    expected = np.sqrt(5 / 6 * np.sum((gains - np.mean(gains)) ** 2))
    assert IouEstimate(one).difference_error(IouEstimate(two)) == pytest.approx(expected)
