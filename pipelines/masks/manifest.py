"""``predictions.jsonl``: what is in a folder of masks, one line an image.

An image's line is written before its mask is moved into place: so each mask of ours has a line, and
a line counts only where its files are there. While runs are at work an image may have several
lines, of which the last counts; when a run has ended it has one.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...classify.inference.mask_files import write_encoded
from ...store.errors import InputError
from ...store.names import composed, why_unsafe

__all__ = ["FILE", "KINDS", "Manifest", "same_prediction"]

FILE = "predictions.jsonl"
KINDS = ("mask", "probabilities", "uncertainty", "overlay")
"""The files of an image; under these keys a record has their paths within the folder."""

_NEEDED, _NAMES = ("stem", "image", "sha256", "mask"), ("stem", "image", *KINDS)


def same_prediction(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two records are of the same model and the very same image."""
    return all(one.get(key) == other.get(key) for key in ("recipe", "sha256"))


class Manifest:
    """The record of a folder of masks.

    Parameters
    ----------
    folder : path
        The folder of masks; it need not be there yet.

    Attributes
    ----------
    records : dict
        The record of each image, by stem. A line that a killed run has torn does not count.

    Raises
    ------
    InputError
        If a record's name or path leads outside.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.records: dict[str, dict[str, Any]] = {}
        self._inode, self._bytes_read = -1, 0  # its inode, and how many of its bytes have been read
        self.refresh()

    def refresh(self) -> None:
        """Read what other runs have added.

        Raises
        ------
        InputError
            If a record's name or path leads outside.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        if (
            status.st_ino != self._inode or status.st_size < self._bytes_read
        ):  # another file, or the first time
            self.records, self._inode, self._bytes_read = {}, status.st_ino, 0
        if status.st_size > self._bytes_read:
            with self.path.open("rb") as file:
                file.seek(self._bytes_read)
                added = file.read()
            self._bytes_read += len(added)
            for line in added.decode(errors="replace").splitlines():
                self._add_line(line)

    def _add_line(self, line: str) -> None:
        try:
            record = json.loads(line)
            complete = all(isinstance(record[key], str) for key in _NEEDED)
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if complete:
            self._check(record)
            self.records[composed(record["stem"])] = record

    def _check(self, record: Mapping[str, Any]) -> None:
        """Refuse names that nobody but a forger writes."""
        for key in _NAMES:
            if key not in record:
                continue
            name = record[key]
            is_text = isinstance(name, str)
            reason = why_unsafe(name, is_stem=key == "stem") if is_text else "it is not a string"
            if reason is not None:
                raise InputError(
                    f"'{self.path}' gives {name!r} as {key} of an image: {reason}. Names in a "
                    "manifest are paths within its folder. `dseg predict` did not write this "
                    "file: do not use it"
                )

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; after `refresh`, and while no other run may write (`Claim.alone`)."""
        line = json.dumps(record) + "\n"
        with self.path.open("a+b") as file:
            if file.tell() and self._lacks_newline(file):
                line = "\n" + line
            file.write(line.encode())
            self._inode, self._bytes_read = os.fstat(file.fileno()).st_ino, file.tell()
        self.records[composed(record["stem"])] = dict(record)

    @staticmethod
    def _lacks_newline(file: BinaryIO) -> bool:
        """Whether the last line lacks its end."""
        file.seek(-1, 2)
        return file.read(1) != b"\n"

    def compact(self, stems: Sequence[str]) -> None:
        """Write one line an image; no other run may be writing the file (`Claim.alone`).

        What other runs have added meanwhile is kept. Nothing is written if it is so already.

        Parameters
        ----------
        stems : sequence of str
            Images, in the order in which their lines are to stand; those of others follow.
        """
        self.refresh()
        ours = [stem for stem in stems if stem in self.records]
        others = self.records.keys() - set(ours)
        order = [*ours, *(stem for stem in self.records if stem in others)]
        compacted = "".join(json.dumps(self.records[stem]) + "\n" for stem in order).encode()
        if self.records and compacted != self.path.read_bytes():
            write_encoded(self.path, compacted)
