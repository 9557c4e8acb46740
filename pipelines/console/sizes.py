"""Amounts of memory as people write them."""

import re

from ...store.errors import InputError

__all__ = ["parse_bytes"]

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_bytes(text: str) -> int:
    """Read a size such as ``500MB``, ``4g`` or ``2GiB``.

    Examples
    --------
    >>> parse_bytes("500MB"), parse_bytes("2GiB")
    (500000000, 2147483648)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])(i?)b?\s*", text.lower())
    if not match:
        raise InputError(f"'{text}' is not a size: give a number and a unit, such as 500MB or 4GB")
    number, unit, binary = match.groups()
    scale = 1024 ** "kmgt".index(unit) * 1024 if binary else _UNITS[unit]
    return int(float(number) * scale)
