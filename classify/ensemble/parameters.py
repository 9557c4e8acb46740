"""Checks of the arguments of `PixelEnsemble`, with messages worded as scikit-learn's."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...store.errors import InputError
from ..labels.classes import Classes, default_classes
from .training import Sampler

__all__ = ["check_batches", "check_parameters", "check_partial_labels"]


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check the constructor's parameters, which it only stores, as scikit-learn wants it.

    Parameters that are missing are not checked.

    Raises
    ------
    InputError
        If one is of the wrong type or out of range.
    """
    for name, least in (("n_members", 1), ("max_steps", 1), ("batch_size", 2)):
        value = parameters.get(name, least)
        if not _is_int(value) or value < least:
            _refuse(parameters, name, f"an int in the range [{least}, inf)")
    for name, choices in (("voting", ("majority", "mean")), ("recipe", ("default", "paper"))):
        if parameters.get(name, choices[0]) not in choices:
            _refuse(parameters, name, f"'{choices[0]}' or '{choices[1]}'")
    rate = parameters.get("learning_rate")
    if rate is not None and not (_is_real(rate) and 0 < rate < np.inf):
        _refuse(parameters, "learning_rate", "None or a float in the range (0.0, inf)")
    balance = parameters.get("balance")
    if balance is not None and not (_is_real(balance) and 0 <= balance <= 1):
        _refuse(parameters, "balance", "None or a float in the range [0.0, 1.0]")
    hidden = parameters.get("hidden_layer_sizes")
    if hidden is not None and (len(hidden) != 2 or not all(_is_int(h) and h > 0 for h in hidden)):
        _refuse(parameters, "hidden_layer_sizes", "None or two ints in the range [1, inf)")
    seed: Any = parameters.get("random_state")
    if _is_int(seed) and seed < 0:
        _refuse(parameters, "random_state", "an int in the range [0, inf), a RandomState or None")


def _refuse(parameters: Mapping[str, Any], name: str, expected: str) -> None:
    raise InputError(
        f"The '{name}' parameter of PixelEnsemble must be {expected}. "
        f"Got {parameters[name]!r} instead."
    )


def _is_int(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_batches(
    sampler: Sampler, ids: NDArray[Any], n_members: int, classes: Classes | None
) -> Classes:
    """Check that sampler, class ids, ensemble and classes fit each other.

    Parameters
    ----------
    sampler : Sampler
    ids : array
        Should be one class id for each of the sampler's pixels.
    n_members : int
        Of the ensemble.
    classes : Classes or None

    Returns
    -------
    Classes
        Those given; if None, as many as the highest id requires.

    Raises
    ------
    InputError
        If they do not fit.
    """
    if ids.shape != (sampler.n,) or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(
            f"the sampler has {sampler.n} pixels but the labels are {ids.dtype} of shape "
            f"{ids.shape}: expected one class id a pixel"
        )
    if sampler.members != n_members:
        raise InputError(
            f"the sampler draws for {sampler.members} members, but the ensemble has "
            f"{n_members}: they must be equal"
        )
    if classes is None:
        classes = default_classes(int(ids.max()) + 1 if ids.size else 0)
    if ids.size and not 0 <= ids.min() <= ids.max() < len(classes):
        raise InputError(
            f"the class ids go from {ids.min()} to {ids.max()} but there are {len(classes)} "
            f"classes, 0 to {len(classes) - 1}"
        )
    return classes


def check_partial_labels(
    labels: NDArray[Any], known: NDArray[Any], classes: ArrayLike | None
) -> None:
    """Check what a call of `partial_fit` brings against the classes of its first call.

    Parameters
    ----------
    labels : array of shape (n_samples,)
    known : array of shape (n_classes,)
        The classes of the first call, sorted.
    classes : array-like, optional
        Those of a later call.

    Raises
    ------
    InputError
        If they are not the same, or a label is not among them.
    """
    if classes is not None and not np.array_equal(known, np.unique(classes)):
        raise InputError(
            f"classes={list(np.unique(classes))} differs from the first call to "
            f"partial_fit: {list(known)}"
        )
    unknown = np.setdiff1d(labels, known)
    if unknown.size:
        raise InputError(f"y has the class {unknown[0]!r} that is not among classes={list(known)}")
