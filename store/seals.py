"""A checksum within JSON values, over all else that they hold: a flipped bit in them is seen.

What was written before there were checksums has none, and counts as whole.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["SEAL", "is_broken", "sealed"]

SEAL = "checksum"
_DIGITS = 16  # against chance, not against an attacker


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with their checksum, in place of one that they have.

    Parameters
    ----------
    facts : mapping
        Plain JSON values by name.

    Examples
    --------
    >>> sealed({"seed": 1})
    {'seed': 1, 'checksum': 'fbe47f6d82b435a8'}
    """
    plain = {key: value for key, value in facts.items() if key != SEAL}
    return {**plain, SEAL: _digest(plain)}


def is_broken(facts: Mapping[str, Any], keys: Collection[str] | None = None) -> bool:
    """Whether facts have a checksum that is not theirs, or one of which the name is damaged.

    Parameters
    ----------
    facts : mapping
    keys : collection of str, optional
        Those that it is of, besides its own; by default all.

    Examples
    --------
    >>> is_broken({**sealed({"seed": 1}), "seed": 2}), is_broken({"seed": 2})
    (True, False)
    >>> is_broken({"seed": 1, "checksul": "fbe47f6d82b435a8"})
    True
    """
    of = {key: value for key, value in facts.items() if keys is None or key in keys}
    if SEAL in facts:
        return bool(facts[SEAL] != sealed(of)[SEAL])
    return any(
        value == _digest({name: one for name, one in of.items() if name != key})
        for key, value in facts.items()
        if isinstance(value, str) and len(value) == _DIGITS
    )


def _digest(plain: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(plain))  # tuples are lists then, and keys text
    text = json.dumps(as_read, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
