"""How much memory a fit may take, and for what."""

import re

import psutil
from distributed.system import memory_limit

from ..classify.members import hidden_widths
from ..store.errors import InputError
from ..store.spec import FeatureSpec

__all__ = ["default_memory", "free_for_features", "parse_bytes"]

# Weights in the ensemble and in the trainer, gradients, Adam's two moments: float32 each.
_BYTES_PER_PARAMETER = 5 * 4
# A batch as gathered, as rounded and as read by the first layer's product.
_COPIES_OF_BATCH = 3
# A reader holds a chunk compressed and not, and works on its own pixels' taps.
_COPIES_OF_CHUNK = 3
_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_bytes(text: str) -> int:
    """Read a size such as ``500MB``, ``4g`` or ``2GiB``.

    Examples
    --------
    >>> parse_bytes("500MB"), parse_bytes("2GiB")
    (500000000, 2147483648)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise InputError(f"'{text}' is not a size: give a number and a unit, such as 500MB or 4GB")
    number, unit, binary = match.groups()
    scale = 1024 ** "kmgt".index(unit) * 1024 if binary and unit else _UNITS[unit]
    return int(float(number) * scale)


def default_memory() -> int:
    """Return half of what is free now, in bytes; a container's own limit counts too."""
    return int(min(psutil.virtual_memory().available, memory_limit()) // 2)


def free_for_features(
    memory: int, spec: FeatureSpec, n_classes: int, members: int, batch_size: int, readers: int
) -> int:
    """Return what of ``memory`` is left for features; below 0 if not even the rest fits.

    Taken off: parameters with gradients and moments, the batches in work, and the readers' chunks.
    """
    first, second = hidden_widths(n_classes)
    parameters = spec.dims * first + first * second + second * n_classes + 4 * (first + second)
    largest = max(
        sum(2 * spec.layers[i].channels * spec.layers[i].height * spec.layers[i].width for i in ls)
        for ls in map(spec.layers_of, spec.map_sizes)
    )
    taken = (
        members * parameters * _BYTES_PER_PARAMETER
        + members * batch_size * spec.dims * 4 * _COPIES_OF_BATCH
        + readers * largest * _COPIES_OF_CHUNK
    )
    return memory - taken
