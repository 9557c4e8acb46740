"""``predictions.jsonl``: what is in a folder of masks, one line an image, in the order written.

An image's line is written before its mask is moved into place: so each mask of ours has a line, and
a line counts only where its files are there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..store.layout import composed

__all__ = ["FILE", "Manifest"]

FILE = "predictions.jsonl"


class Manifest:
    """The record of a folder of masks.

    Parameters
    ----------
    folder : path
        The folder of masks; it need not be there yet.

    Attributes
    ----------
    records : dict
        The last record of each image, by stem. A line that a killed run has torn does not count.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.records: dict[str, dict[str, Any]] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            record = json.loads(line)
            if all(isinstance(record[key], str) for key in ("stem", "image", "sha256")):
                self.records[composed(record["stem"])] = record
        except (ValueError, KeyError, TypeError, RecursionError):
            return

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, in one write, so that several runs may append to one file."""
        line = json.dumps(record) + "\n"
        with self.path.open("a+b") as file:
            if file.tell() and self._torn(file):
                line = "\n" + line
            file.write(line.encode())
        self.records[composed(record["stem"])] = dict(record)

    @staticmethod
    def _torn(file: BinaryIO) -> bool:
        """Whether the last line lacks its end."""
        file.seek(-1, 2)
        return file.read(1) != b"\n"
