"""Hypothesis: `PixelEnsemble` keeps scikit-learn's contract, but for what is listed here."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from dseg import PixelEnsemble

# The check, and why it does not hold.
EXPECTED_FAILURES: dict[str, str] = {}


@parametrize_with_checks(
    [
        PixelEnsemble(n_members=3, hidden_layer_sizes=(32, 16), max_steps=150),
        PixelEnsemble(n_members=3, hidden_layer_sizes=(32, 16), max_steps=150, voting="mean"),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
