"""Which numbers the network computes in while it is trained."""

import torch

from ..store.errors import InputError

__all__ = ["PRECISIONS", "choose_precision"]

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_precision(name: str | None, device: torch.device) -> torch.dtype:
    """Return the precision asked for, or the quickest that is safe on a device.

    Half of a network's arithmetic in bfloat16 or float16 (autocast) is the field's habit; weights,
    moments and averages stay float32. On a CPU only one with bfloat16 units gains by it.

    Raises
    ------
    InputError
        If the device cannot.
    """
    if name is None:
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
        able = ("avx512_bf16", "amx_bf16", "bf16")
        has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        fast = device.type == "cpu" and any(has.get(unit) for unit in able)
        return torch.bfloat16 if fast else torch.float32
    if name not in PRECISIONS:
        raise InputError(f"unknown precision {name!r}: use one of {', '.join(PRECISIONS)}")
    if name == "float16" and device.type != "cuda":
        raise InputError(f"float16 is for CUDA, not for {device.type}: use bfloat16 or float32")
    return PRECISIONS[name]
