"""Each parameter of the ensemble is refused by its name and value; the limits themselves pass."""

import numpy as np
import pytest
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.ensemble.parameters import (
    check_batches,
    check_parameters,
    check_partial_labels,
)
from dseg.classify.labels.classes import default_classes
from dseg.store.errors import InputError


def sampler(n, members):
    return ArraySampler(np.zeros((n, 1), np.float32), members=members)


WRONG = [
    ("n_members", 0),
    ("n_members", 2.0),
    ("n_members", True),
    ("max_steps", 0),
    ("batch_size", 1),
    ("voting", "median"),
    ("recipe", "published"),
    ("learning_rate", 0.0),
    ("learning_rate", float("inf")),
    ("learning_rate", float("nan")),
    ("learning_rate", "fast"),
    ("balance", -0.1),
    ("balance", 1.1),
    ("balance", True),
    ("hidden_layer_sizes", (128,)),
    ("hidden_layer_sizes", (128, 0)),
    ("hidden_layer_sizes", (128, 32.0)),
    ("random_state", -1),
]

RIGHT = [
    {},
    {"n_members": 1, "max_steps": 1, "batch_size": 2},
    {"n_members": np.int64(3), "learning_rate": np.float32(1e-3)},
    {"voting": "mean", "recipe": "paper"},
    {"learning_rate": None, "balance": None, "hidden_layer_sizes": None, "random_state": None},
    {"balance": 0},
    {"balance": 1.0, "learning_rate": 1},
    {"hidden_layer_sizes": [1, 1], "random_state": 0},
    {"random_state": np.random.RandomState(0)},
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_parameter_is_named_with_its_value(name, value):
    with pytest.raises(InputError) as refused:
        check_parameters({"n_members": 3, name: value})
    assert f"'{name}'" in str(refused.value)
    assert f"{value!r}" in str(refused.value)


@pytest.mark.parametrize("parameters", RIGHT)
def test_limits_and_defaults_pass(parameters):
    check_parameters(parameters)


def test_classes_of_a_sampler_are_as_many_as_the_highest_id_needs():
    ids = np.array([0, 3, 1], np.uint16)
    assert len(check_batches(sampler(3, 2), ids, 2, None)) == 4
    given = default_classes(6)
    assert check_batches(sampler(3, 2), ids, 2, given) is given


@pytest.mark.parametrize(
    ("drawn", "ids", "n_classes"),
    [
        (sampler(4, 2), np.array([0, 1, 1]), None),  # one id too few
        (sampler(3, 2), np.array([[0, 1, 1]]), None),
        (sampler(3, 2), np.array([0.0, 1.0, 1.0]), None),
        (sampler(3, 5), np.array([0, 1, 1]), None),  # for another number of members
        (sampler(3, 2), np.array([0, 1, 2]), 2),  # beyond the classes
        (sampler(3, 2), np.array([-1, 0, 1]), None),
    ],
)
def test_sampler_and_labels_that_do_not_fit_are_refused(drawn, ids, n_classes):
    classes = None if n_classes is None else default_classes(n_classes)
    with pytest.raises(InputError):
        check_batches(drawn, ids, 2, classes)


def test_later_calls_of_partial_fit_keep_to_the_first_ones_classes():
    known = np.array(["sea", "sky"])
    check_partial_labels(np.array(["sky"]), known, None)
    check_partial_labels(np.array(["sky"]), known, ["sky", "sea", "sky"])  # in any order
    with pytest.raises(InputError, match="sand"):
        check_partial_labels(np.array(["sky", "sand"]), known, None)
    with pytest.raises(InputError, match="first call"):
        check_partial_labels(np.array(["sky"]), known, ["sky", "sand"])
