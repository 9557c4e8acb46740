"""The files beside images that ``dseg sample`` drew: their names, and the records of the second.

=================  ===================================================================
``samples.json``   what the images were drawn with
``samples.jsonl``  one line an image: ``name``, ``seed``, ``sha256`` of the file, in hexadecimal
=================  ===================================================================
"""

from collections.abc import Iterator
from typing import Any

from ...store.json_lines import records_in

__all__ = ["FACTS", "RECORDS", "sample_records"]

FACTS, RECORDS = "samples.json", "samples.jsonl"


def sample_records(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the records of the bytes of a ``samples.jsonl``; what is none is left out.

    Examples
    --------
    >>> list(sample_records(b'{"name": "000000.png", "seed": 0, "sha256": "e3"}'))
    [{'name': '000000.png', 'seed': 0, 'sha256': 'e3'}]
    """
    for record in records_in(data):
        name, seed, sha256 = (record.get(key) for key in ("name", "seed", "sha256"))
        if isinstance(name, str) and type(seed) is int and isinstance(sha256, str):
            yield record
