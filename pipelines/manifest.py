"""``predictions.jsonl``: what is in a folder of masks, one line an image, in the order written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.errors import InputError

__all__ = ["FILE", "Manifest"]

FILE = "predictions.jsonl"


class Manifest:
    """The record of a folder of masks: append a line once an image's files are all in place.

    Parameters
    ----------
    folder : path
        The folder of masks.

    Attributes
    ----------
    records : dict
        The last record of each image, by stem.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.records: dict[str, dict[str, Any]] = {}
        self._torn = False
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                self.records[record["stem"]] = record
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    self._torn = not text.endswith("\n")  # a killed run's last line: do it again
                    continue
                raise InputError(
                    f"line {number} of '{self.path}' is no record of a mask: restore the file, or "
                    "remove it and predict with --overwrite"
                ) from error

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, in one write, so that several runs may append to one file."""
        line = ("\n" if self._torn else "") + json.dumps(record) + "\n"
        self._torn = False
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
        self.records[record["stem"]] = dict(record)
