"""A checksum within JSON values, over all else that they hold: a flipped bit in them is seen.

What was written before there were checksums has none, and counts as whole.
"""

import hashlib
import json
from collections.abc import Mapping
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


def is_broken(facts: Mapping[str, Any]) -> bool:
    """Whether facts have a checksum that is not theirs.

    Examples
    --------
    >>> is_broken({**sealed({"seed": 1}), "seed": 2}), is_broken({"seed": 2})
    (True, False)
    """
    return SEAL in facts and facts[SEAL] != sealed(facts)[SEAL]


def _digest(plain: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(plain))  # tuples are lists then, and keys text
    text = json.dumps(as_read, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
