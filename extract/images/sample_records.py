"""The two files beside images that ``dseg sample`` drew: their names, and a line of the second.

=================  ===================================================================
``samples.json``   what the images were drawn with
``samples.jsonl``  one line an image: ``name``, ``seed``, ``sha256`` of the file, in hexadecimal
=================  ===================================================================
"""

import json
from typing import Any

__all__ = ["FACTS", "RECORDS", "record_of"]

FACTS, RECORDS = "samples.json", "samples.jsonl"


def record_of(line: str) -> dict[str, Any] | None:
    """Return the record of a line; None if it is torn, as of a killed run, or no such record.

    Examples
    --------
    >>> record_of('{"name": "000000.png", "seed": 0, "sha256": "e3"}')["seed"]
    0
    >>> record_of('{"name": "000000.p')
    """
    try:
        record = json.loads(line)
        name, seed, sha256 = (record[key] for key in ("name", "seed", "sha256"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    whole = isinstance(name, str) and type(seed) is int and isinstance(sha256, str)
    return dict(record) if whole else None
