"""Weights that are to be those of a network: none missing, left over or of another shape."""

from collections.abc import Mapping

from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.state_dict import some_keys

__all__ = ["refuse_other_weights"]


def refuse_other_weights(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], network: str
) -> None:
    """Raise `InputError` where tensors differ from those of a network, in words: "a MAE"."""
    missing = [key for key in wanted if key not in given]
    left_over = [key for key in given if key not in wanted]
    other = [k for k in wanted if k in given and given[k].shape != wanted[k].shape]
    faults = {"missing": missing, "left over": left_over, "of another shape": other}
    words = [f"{len(keys)} {what} ({some_keys(keys)})" for what, keys in faults.items() if keys]
    if words:
        raise InputError(f"the checkpoint is not {network} as expected: weights {'; '.join(words)}")
