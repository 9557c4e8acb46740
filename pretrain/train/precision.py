"""Which numbers the network computes in while it is trained."""

import time

import torch
from torch.nn.functional import conv2d

from ...store.errors import InputError

__all__ = ["PRECISIONS", "choose_precision", "precision_to_continue"]

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

_UNITS = ("avx512_bf16", "amx_bf16", "bf16")
"""What of a CPU's capabilities, in PyTorch's words, computes in bfloat16."""


def choose_precision(name: str | None, device: torch.device) -> torch.dtype:
    """Return the precision asked for, or the quickest that is safe on a device.

    Half of a network's arithmetic in bfloat16 or float16 (autocast) is the field's habit; weights,
    moments and averages stay float32. On CPUs with bfloat16 units half a second of trying
    decides: some gain by a half, others are slower than in float32.

    Raises
    ------
    InputError
        If the device cannot.
    """
    if name is None:
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
        has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        if device.type == "cpu" and any(has.get(unit) for unit in _UNITS):
            return min((torch.float32, torch.bfloat16), key=_seconds)
        return torch.float32
    if name not in PRECISIONS:
        raise InputError(f"unknown precision {name!r}: use one of {', '.join(PRECISIONS)}")
    if name == "float16" and device.type != "cuda":
        raise InputError(f"float16 is for CUDA, not for {device.type}: use bfloat16 or float32")
    return PRECISIONS[name]


def precision_to_continue(
    name: str | None, before: str | None, device: torch.device
) -> torch.dtype:
    """Return the precision asked for, else that of the run before, else what the device does best.

    Parameters
    ----------
    name : str, optional
        As asked for.
    before : str, optional
        Of the run that is continued, perhaps on another device.
    device : torch.device

    Raises
    ------
    InputError
        If the device cannot do what is asked for.
    """
    able = before != "float16" or device.type == "cuda"
    return choose_precision(name or (before if able else None), device)


def _seconds(precision: torch.dtype) -> float:
    """Measure a convolution and its gradients on the CPU: what a training step spends most on."""
    # Not random: trying must not change what a run draws.
    weight, x = (
        torch.full(shape, 0.1).contiguous(memory_format=torch.channels_last).requires_grad_(True)
        for shape in ((96, 96, 3, 3), (4, 96, 32, 32))
    )
    taken = []
    for _ in range(4):  # the first prepares
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            y = conv2d(x, weight, padding=1)
        y.float().mean().backward()  # type: ignore[no-untyped-call]
        taken.append(time.perf_counter() - start)
    return min(taken[1:])
