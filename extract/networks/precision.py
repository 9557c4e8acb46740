"""The network in half precision, with float32 where the published networks keep it.

Convolutions and linear layers, which do nearly all of the work, take and give 16 bits; group
normalisation, softmax and the embedding of the timestep stay float32 (Dhariwal & Nichol's
``convert_module_to_f16`` and ``GroupNorm32``). Their weights are held in 16 bits too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...store.errors import InputError

__all__ = ["PRECISIONS", "at_precision", "halve_weights"]

PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


def halve_weights(network: nn.Module, precision: str, *, but: nn.Module | None = None) -> None:
    """Hold the weights of convolutions and linear layers in a precision, in place.

    Normalisation is made to compute in float32.

    Parameters
    ----------
    network : nn.Module
    precision : str
        Of `PRECISIONS`.
    but : nn.Module, optional
        A part that stays as it is.

    Raises
    ------
    InputError
        If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    excluded = set() if but is None else set(but.modules())
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in excluded:
            module.to(PRECISIONS[precision])
        if isinstance(module, _NORMS) and precision != "float32":
            module.register_forward_pre_hook(_in_float32)  # autocast sees to it on CUDA alone


def _in_float32(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(one.float() for one in inputs)


@contextmanager
def at_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in a precision for a while; in float32 without TensorFloat-32.

    Its mantissa of 10 bits, PyTorch's default for convolutions on CUDA, would cost a thousandth of
    each activation.
    """
    dtype, cudnn = PRECISIONS[precision], torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, False
    try:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            yield
    finally:
        cudnn.allow_tf32 = before
