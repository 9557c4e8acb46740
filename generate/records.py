"""The lines of ``samples.jsonl``: which image has which seed, and the sha256 of its file."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..extract.images.sample_records import record_of
from ..store.atomic_folder import temporary_path

__all__ = ["Records"]


class Records:
    """The records of a folder's images.

    Parameters
    ----------
    path : path
        Of the file; it need not exist yet.

    Attributes
    ----------
    by_name : dict
        The record of each image: ``name``, ``seed``, ``sha256`` in hexadecimal. A line that is
        torn, or no such record, is skipped; of several of one image the last counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_name: dict[str, dict[str, Any]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file, with what other runs have added."""
        self.by_name = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            for line in self.path.read_bytes().decode(errors="replace").splitlines():
                self._add_line(line)

    def _add_line(self, line: str) -> None:
        record = record_of(line)
        if record is not None:
            self.by_name[record["name"]] = record

    @property
    def seeds(self) -> dict[str, int]:
        """The seed of each image, by the sha256 of its file."""
        return {record["sha256"]: record["seed"] for record in self.by_name.values()}

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; call it while no other run writes."""
        line = (json.dumps(record) + "\n").encode()
        with self.path.open("a+b") as file:
            if file.tell():  # a line that a killed run has torn must not tear this one
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
        self.by_name[str(record["name"])] = dict(record)

    def compact(self) -> None:
        """Write one line an image, in the order of their names; call it while no other run writes.

        Nothing is written if it is so already.
        """
        self.refresh()
        order = sorted(self.by_name, key=lambda name: (len(name), name))
        text = "".join(json.dumps(self.by_name[name]) + "\n" for name in order).encode()
        if not self.by_name or text == self.path.read_bytes():
            return
        made = temporary_path(self.path)
        try:
            made.write_bytes(text)
            made.replace(self.path)
        except BaseException:
            with suppress(OSError):
                made.unlink(missing_ok=True)
            raise
