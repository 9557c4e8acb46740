"""Intervals: the bootstrap over images against confusion matrices added one by one."""

import numpy as np
import pytest
from dseg.classify.evaluation.intervals import (
    bootstrap_iou,
    bootstrap_mean_iou,
    mean_over_draws,
    share_improved,
)
from dseg.classify.evaluation.metrics import Confusion, overlaps


def counts_of(n=7, classes=4, ignore=255, seed=0):
    rng = np.random.default_rng(seed)
    counts = []
    for _ in range(n):
        confusion = Confusion(classes, ignore)
        label = rng.integers(0, classes, 200)
        label[rng.random(200) < 0.1] = ignore
        wrong = rng.random(200) < rng.uniform(0.1, 0.6)
        mask = np.where(wrong, rng.integers(0, classes, 200), np.minimum(label, classes - 1))
        confusion.add(mask, label)
        counts.append(confusion.counts)
    return np.stack(counts)


@pytest.mark.parametrize("ignore", [255, 1])
def test_the_interval_is_that_of_matrices_added_one_by_one(ignore):
    counts = counts_of(ignore=ignore)
    told = bootstrap_mean_iou(counts, ignore, resamples=300, seed=3)
    rng, scores = np.random.default_rng([3, len(counts)]), []
    for times in np.concatenate([rng.multinomial(7, np.full(7, 1 / 7), size=k) for k in (256, 44)]):
        confusion = Confusion(4, ignore)
        for one, matrix in zip(times, counts, strict=True):
            confusion.counts += one * matrix
        scores.append(confusion.mean_iou())
    assert (told.low, told.high) == pytest.approx(tuple(np.percentile(scores, [2.5, 97.5])))
    whole = Confusion(4, ignore)
    whole.counts += counts.sum(axis=0)
    assert told.low < whole.mean_iou() < told.high


def test_a_class_that_is_in_no_drawn_image_is_left_out():
    counts = np.zeros((2, 3, 3), np.int64)
    counts[0, 0, 0] = counts[1, 1, 1] = 5
    told = bootstrap_mean_iou(counts, 255, resamples=50)
    assert (told.low, told.high) == (1, 1)


def test_images_all_alike_leave_no_doubt():
    counts = np.repeat(counts_of(n=1), 5, axis=0)
    told = bootstrap_mean_iou(counts, 255)
    assert told.low == pytest.approx(told.high)


def test_one_draw_tells_nothing_of_how_draws_differ():
    assert mean_over_draws([0.3]) == (pytest.approx(0.3), None)


def test_draws_that_share_images_widen_the_interval():
    _, apart = mean_over_draws([0.4, 0.5, 0.7, 0.6])
    _, shared = mean_over_draws([0.4, 0.5, 0.7, 0.6], overlap=0.25)
    assert shared.high - shared.low == pytest.approx(2**0.5 * (apart.high - apart.low))


def test_the_share_of_better_resamples_is_that_of_matrices_added_one_by_one():
    before, after = counts_of(seed=1), counts_of(seed=2)
    told = share_improved(before, after, 255, resamples=200, seed=4)
    rng, better = np.random.default_rng([4, len(before)]), 0
    for times in rng.multinomial(7, np.full(7, 1 / 7), size=200):
        scores = []
        for counts in (before, after):
            confusion = Confusion(4, 255)
            confusion.counts += np.tensordot(times, counts, 1)
            scores.append(confusion.mean_iou())
        better += scores[1] > scores[0]
    assert told == pytest.approx(better / 200)


def test_what_changes_nothing_is_better_half_the_time():
    counts = counts_of()
    assert share_improved(counts, counts, 255, resamples=20) == 0.5


def test_the_intervals_of_classes_are_those_of_matrices_added_one_by_one():
    counts = counts_of(classes=3)
    counts[:, 2] = counts[:, :, 2] = 0
    counts[4, 2, 2] = 9  # in one image only
    mean, told = bootstrap_iou(*overlaps(counts[:, :-1]), resamples=200, seed=3)
    assert mean == bootstrap_mean_iou(counts, 255, resamples=200, seed=3)
    rng, scores = np.random.default_rng([3, len(counts)]), []
    for times in rng.multinomial(7, np.full(7, 1 / 7), size=200):
        confusion = Confusion(3)
        for one, matrix in zip(times, counts, strict=True):
            confusion.counts += one * matrix
        scores.append(confusion.iou_per_class())
    for k, found in enumerate(told[:2]):
        wanted = np.percentile(np.array(scores)[:, k], [2.5, 97.5])
        assert (found.low, found.high) == pytest.approx(tuple(wanted))
    assert told[2] is None
