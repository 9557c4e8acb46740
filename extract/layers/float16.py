"""Activations to float16, with an account of what does not fit."""

import torch
from torch import Tensor

__all__ = ["to_float16"]

LARGEST = torch.finfo(torch.float16).max


def to_float16(activation: Tensor) -> tuple[Tensor, int, int]:
    """Round an activation to float16 and count what that cannot hold.

    Finite values beyond ±65504 are clipped to it (a plain cast would make them infinite). What is
    not finite stays as it is.

    Parameters
    ----------
    activation : tensor of any shape, float32

    Returns
    -------
    half : tensor of the same shape, float16, contiguous
    nonfinite : int
        How many values are infinite or NaN.
    clipped : int
        How many finite values were clipped.

    Examples
    --------
    >>> to_float16(torch.tensor([1.0, 1e6, float("nan")]))
    (tensor([1.0000e+00, 6.5504e+04,        nan], dtype=torch.float16), 1, 1)
    """
    # One pass where all is well: the largest magnitude is NaN or too large exactly if it is not.
    if activation.numel() == 0 or bool(activation.abs().amax() <= LARGEST):
        return activation.to(torch.float16).contiguous(), 0, 0
    finite = activation.isfinite()
    beyond = finite & (activation.abs() > LARGEST)
    held = torch.where(beyond, activation.clamp(-LARGEST, LARGEST), activation)
    nonfinite = int((~finite).sum())
    return held.to(torch.float16).contiguous(), nonfinite, int(beyond.sum())
