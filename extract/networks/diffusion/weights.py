"""A network with the weights of a state dict: none missing, left over or of another shape."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.state_dict import StateDict, some_keys

__all__ = ["build_unet", "refuse_other_weights"]


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


def build_unet(config: Mapping[str, Any], state: StateDict, network: str) -> Any:
    """Return diffusers' U-Net with the weights of a state dict.

    Parameters
    ----------
    config : mapping
        Of ``UNet2DModel``.
    state : dict of str to tensor
        Under diffusers' names.
    network : str
        What the weights should be, in words.

    Returns
    -------
    diffusers.UNet2DModel
        In evaluation mode, on the CPU, float32.

    Raises
    ------
    InputError
        See `refuse_other_weights`.
    """
    from diffusers import UNet2DModel

    with torch.device("meta"):
        unet = UNet2DModel(**config)
    refuse_other_weights(state, unet.state_dict(), network)
    unet.load_state_dict(state, strict=True, assign=True)
    return unet.eval().requires_grad_(False)
