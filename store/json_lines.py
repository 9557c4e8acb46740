"""Records in a file of JSON lines, to which runs add: a line that a killed run has torn is skipped.

Of several lines of one thing the last counts; whoever ends a run writes one line for each. A line
with a checksum (see `seals`) that is not its own is skipped, too.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .failed_writes import writing
from .seals import is_broken
from .texts import parse_json
from .whole_file import write_whole

__all__ = ["append_record", "damaged_lines", "records_in", "rewrite_records"]


def records_in(data: bytes) -> Iterator[dict[str, Any]]:
    r"""Yield the records of a file's bytes, or of those added to it.

    Examples
    --------
    >>> list(records_in(b'{"step": 1}\n{"step": 2, "lo'))
    [{'step': 1}]
    """
    for line in data.decode(errors="replace").splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict) and not is_broken(record):
            yield record


def damaged_lines(path: Path) -> list[int]:
    """Return the numbers, from 1, of the lines of a file that are skipped; none if it is missing.

    A line that a killed run has torn is one, too.
    """
    lines = path.read_bytes().decode(errors="replace").splitlines() if path.is_file() else []
    return [n for n, line in enumerate(lines, 1) if next(records_in(line.encode()), None) is None]


def append_record(path: Path, record: Mapping[str, Any]) -> os.stat_result:
    """Add a line; call it while no other run writes. Return the file's status afterwards.

    Raises
    ------
    DsegError
        If it cannot be written.
    """
    line = (json.dumps(record) + "\n").encode()
    with writing(path), path.open("a+b") as file:
        if file.tell():  # a line that a killed run has torn must not tear this one
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        return os.fstat(file.fileno())


def rewrite_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write these records alone; nothing, if the file holds just them already.

    Raises
    ------
    DsegError
        If it cannot be written.
    """
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    if not path.is_file() or data != path.read_bytes():
        write_whole(path, data)
