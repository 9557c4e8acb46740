"""Hypothesis: `PixelEnsemble` keeps scikit-learn's contract; no check is expected to fail."""

import pytest
from dseg import PixelEnsemble
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

SMALL = PixelEnsemble(n_members=3, hidden_layer_sizes=(32, 16), max_steps=80)


@parametrize_with_checks([SMALL])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([clone(SMALL).set_params(voting="mean")])
def test_scikit_learns_own_checks_of_another_vote(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n_members", 0, "an int in the range"),
        ("batch_size", 1, r"an int in the range \[2"),
        ("max_steps", 2.5, "an int in the range"),
        ("voting", "loud", "'majority' or 'mean'"),
        ("recipe", "cake", "'default' or 'paper'"),
        ("learning_rate", -1.0, "None or a float in the range"),
        ("hidden_layer_sizes", (8,), "None or two ints"),
        ("random_state", -1, "an int in the range"),
    ],
)
def test_a_bad_parameter_is_refused_in_scikit_learns_words(name, value, expected):
    ensemble = PixelEnsemble(**{name: value})
    with pytest.raises(ValueError, match=f"The '{name}' parameter of PixelEnsemble must be") as e:
        ensemble.fit([[0.0], [1.0]], [0, 1])
    assert e.match(expected)
    assert e.match(f"Got .*{str(value)[-3:-1]}")
