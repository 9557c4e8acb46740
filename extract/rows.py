"""Rows as a backbone takes them."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.errors import InputError

__all__ = ["as_rows"]


def as_rows(
    rows: Tensor | NDArray[Any], row_shape: tuple[int, int], device: torch.device
) -> Tensor:
    """Return rows as a float32 tensor (B, 3, H, W) on a device.

    Raises
    ------
    InputError
        If they are not of the row shape.
    """
    x = torch.as_tensor(rows, dtype=torch.float32, device=device)
    if x.ndim != 4 or tuple(x.shape[1:]) != (3, *row_shape):
        height, width = row_shape
        raise InputError(
            f"rows of shape {tuple(x.shape)} came, but this backbone takes "
            f"(any number, 3, {height}, {width})"
        )
    return x
