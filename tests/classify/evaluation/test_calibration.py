"""Temperature and calibration error, against plain references."""

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.voting import tempered as tempered_tensor
from dseg.classify.evaluation.calibration import (
    BINS,
    HIGHEST,
    LOWEST,
    PixelSample,
    calibrate,
    find_temperature,
    negative_log_likelihood,
    reliability,
    tempered,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sample_of(n=2000, classes=4, sharpness=3.0, seed=0) -> PixelSample:
    """Pixels whose true probabilities are known, said ``sharpness`` times too surely."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, classes))
    y = (softmax(scores).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    said = softmax(sharpness * scores).astype(np.float32)
    return PixelSample(said, y, rng.uniform(0.5, 2, n), rng.integers(0, 4, n))


def plain_nll(sample, temperature):
    total = 0.0
    for p, y, weight in zip(sample.probabilities, sample.y, sample.weights, strict=True):
        powers = [float(one) ** (1 / temperature) for one in p]
        total -= weight * np.log(powers[y] / sum(powers))
    return total / sample.weights.sum()


def plain_error(sample):
    """Guo et al.'s sum over bins (m / 15, (m + 1) / 15], in so many words."""
    whole, error = sample.weights.sum(), 0.0
    for m in range(BINS):
        inside = []
        for p, y, weight in zip(sample.probabilities, sample.y, sample.weights, strict=True):
            if m / BINS < p.max() <= (m + 1) / BINS:
                inside.append((weight, p.max(), p.argmax() == y))
        if inside:
            weight, confidence, right = np.array(inside, float).T
            gap = abs((weight * confidence).sum() - (weight * right).sum())
            error += gap / whole
    return error


def test_the_likelihood_is_the_plain_one():
    sample = sample_of(n=200)
    for temperature in (0.5, 1.0, 2.7):
        told = negative_log_likelihood(sample, temperature)
        assert told == pytest.approx(plain_nll(sample, temperature), rel=1e-5)


@given(st.floats(0.3, 5), st.integers(0, 20))
@settings(deadline=None, max_examples=15)
def test_the_temperature_is_the_best_of_a_fine_grid(sharpness, seed):
    sample = sample_of(n=400, sharpness=sharpness, seed=seed)
    grid = np.geomspace(0.1, 15, 400)
    scores = [negative_log_likelihood(sample, t) for t in grid]
    found = find_temperature(sample)
    assert negative_log_likelihood(sample, found) <= min(scores) + 1e-9
    assert found == pytest.approx(grid[int(np.argmin(scores))], rel=0.02)


def test_the_temperature_undoes_what_was_said_too_surely():
    assert find_temperature(sample_of(n=40000, sharpness=3)) == pytest.approx(3, rel=0.05)


def test_a_temperature_does_not_run_away():
    p = np.float32([[0.9, 0.1], [0.8, 0.2]])
    ones, zeros = np.ones(2), np.zeros(2, int)
    assert find_temperature(PixelSample(p, np.array([0, 0]), ones, zeros)) == LOWEST
    assert find_temperature(PixelSample(p, np.array([1, 1]), ones, zeros)) == HIGHEST


def test_the_calibration_error_is_the_plain_one():
    for sharpness in (0.5, 3):
        sample = sample_of(n=500, sharpness=sharpness)
        told = reliability(sample)
        assert told.error == pytest.approx(plain_error(sample), rel=1e-6)
        assert told.share.sum() == pytest.approx(1)


@given(st.floats(0.1, 10))
@settings(deadline=None, max_examples=20)
def test_a_temperature_changes_no_order_and_can_be_undone(temperature):
    p = sample_of(n=50, sharpness=1).probabilities
    changed = tempered(p, temperature)
    assert np.allclose(changed.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(changed.argmax(axis=1), p.argmax(axis=1))
    assert np.allclose(tempered_tensor(torch.from_numpy(p), temperature), changed, atol=1e-5)
    if temperature < 3:
        assert np.allclose(tempered(changed, 1 / temperature), p, atol=2e-3)


def test_what_is_told_of_the_tempered_is_told_of_pixels_that_did_not_choose():
    sample = sample_of(sharpness=3)
    found = calibrate(sample)
    assert found.temperature == find_temperature(sample)
    assert found.after.error < 0.5 * found.before.error
    after = np.empty_like(sample.probabilities)
    for group in range(4):
        own = sample.groups == group
        after[own] = tempered(sample.probabilities[own], find_temperature(sample.of(~own)))
    mended = PixelSample(after, sample.y, sample.weights, sample.groups)
    assert found.nll[1] == pytest.approx(plain_nll(mended, 1), rel=1e-5)
    assert found.nll[0] == pytest.approx(plain_nll(sample, 1), rel=1e-5)
    assert negative_log_likelihood(sample, found.temperature) <= found.nll[1]


def test_probabilities_of_nothing_are_finite():
    p = np.float32([[1, 0], [1, 0]])
    sample = PixelSample(p, np.array([0, 1]), np.ones(2), np.zeros(2, int))
    assert np.isfinite(negative_log_likelihood(sample))
    assert calibrate(sample).temperature == HIGHEST


def test_a_temperature_that_does_not_help_others_is_not_taken():
    """Two groups that want opposite ones: each is worse off with the other's."""
    soft, hard = (sample_of(n=1000, sharpness=s, seed=i) for i, s in enumerate((0.3, 3)))
    parts = [
        np.concatenate([getattr(one, name) for one in (soft, hard)])
        for name in ("probabilities", "y", "weights")
    ]
    found = calibrate(PixelSample(*parts, np.repeat([0, 1], 1000)))
    assert found.temperature == 1
    assert found.nll[0] == found.nll[1]
    assert found.after is found.before


def test_folds_of_one_image_are_taken_together_in_ten_groups():
    sample = sample_of(n=1200)
    alone = PixelSample(sample.probabilities, sample.y, sample.weights, np.arange(1200) % 40)
    ten = PixelSample(sample.probabilities, sample.y, sample.weights, np.arange(1200) % 10)
    assert calibrate(alone).nll == calibrate(ten).nll
