"""Which device to compute on."""

import torch

from ...store.errors import InputError

__all__ = ["choose_device"]


def choose_device(name: str | torch.device | None) -> torch.device:
    """Return the device of a name; without one CUDA, else MPS, else the CPU, whatever is there.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # one that holds no values is of no use
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"there is no device '{name}' here: {str(error).splitlines()[0]}"
        ) from error
    return device
