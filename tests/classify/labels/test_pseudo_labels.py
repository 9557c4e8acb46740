"""Pseudo-labels: the surest share of each class, against sorting all pixels."""

import numpy as np
import pytest
from dseg.classify.labels.label_maps import IGNORED
from dseg.classify.labels.pseudo_labels import Guess, pseudo_labels
from hypothesis import given, settings
from hypothesis import strategies as st


def guesses_of(seed, n=3, classes=4, side=12):
    rng = np.random.default_rng(seed)
    return [
        Guess.of(rng.dirichlet([0.3] * classes, (side, side)).transpose(2, 0, 1).astype(np.float16))
        for _ in range(n)
    ]


def test_a_guess_is_the_most_probable_class_and_how_probable_it_is():
    guess = Guess.of(np.float16([[[0.25, 1]], [[0.75, 0]]]))
    assert guess.winner.tolist() == [[1, 0]]
    assert guess.confidence.tolist() == [[191, 255]]


@given(st.integers(0, 1000), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=40)
def test_where_all_are_wanted_the_surest_of_each_class_are_labelled(seed, share):
    guesses = guesses_of(seed)
    labels = pseudo_labels(guesses, 4, 10**6, 0, share)
    winner = np.concatenate([guess.winner.ravel() for guess in guesses])
    confidence = np.concatenate([guess.confidence.ravel() for guess in guesses])
    found = np.concatenate([label.ravel() for label in labels])
    for k in range(4):
        own = winner == k
        ranked = np.sort(confidence[own])[::-1]
        if not len(ranked):
            continue
        least = ranked[max(0, int(np.ceil(share * len(ranked))) - 1)]
        assert np.array_equal(found == k, own & (confidence >= least))


def test_no_more_are_labelled_than_wanted_and_rare_classes_keep_theirs():
    rng = np.random.default_rng(0)
    winner = np.where(rng.random((100, 100)) < 0.002, 1, 0).astype(np.uint16)
    guess = Guess(winner, np.full(winner.shape, 250, np.uint8))
    (label,) = pseudo_labels([guess], 2, 400, 0)
    assert (label == 1).sum() == (winner == 1).sum()
    assert 300 < (label == 0).sum() < 460


def test_the_same_seed_draws_the_same_pixels_and_another_seed_others():
    guesses = guesses_of(3)
    first, again, other = (pseudo_labels(guesses, 4, 60, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


@pytest.mark.parametrize("classes", [1, 5])
def test_classes_that_nothing_gets_are_no_trouble(classes):
    guess = Guess(np.zeros((4, 4), np.uint16), np.full((4, 4), 9, np.uint8))
    (label,) = pseudo_labels([guess], classes, 100, 0)
    assert set(np.unique(label)) <= {0, IGNORED}
