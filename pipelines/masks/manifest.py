"""``predictions.jsonl``: the record of a folder of masks, one line for each image.

An image's line is written before its mask is moved into place. So every mask that dseg wrote has a
line, and a line counts only if its files exist. While runs are active an image may have several
lines, of which the last one counts; a run that ends leaves one.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...store.errors import InputError
from ...store.json_lines import append_record, records_in, rewrite_records
from ...store.names import composed, why_unsafe
from ...store.seals import sealed
from ...store.urls.location import Location

__all__ = [
    "FILE",
    "KINDS",
    "SHA256",
    "Manifest",
    "checked_records",
    "ordered_records",
    "same_prediction",
]

FILE = "predictions.jsonl"
SHA256 = "sha256_of_files"
"""Under which a record has the sha256 of each of its files, by kind."""
KINDS = ("mask", "probabilities", "uncertainty", "overlay")
"""The files of an image; a record has their paths within the folder under these keys."""

_NEEDED, _NAMES = ("stem", "image", "sha256", "mask"), ("stem", "image", *KINDS)


def same_prediction(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of the same model and the same image file."""
    return all(one.get(key) == other.get(key) for key in ("recipe", "sha256"))


def checked_records(where: Location, found: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the records of images among those that were read, by stem; the last one counts.

    Raises
    ------
    InputError
        If a name or path of a record leads out of the folder: dseg does not write such.
    """
    records = {}
    for record in found:
        if all(isinstance(record.get(key), str) for key in _NEEDED):
            _check(where, record)
            records[composed(record["stem"])] = record
    return records


def _check(where: Location, record: Mapping[str, Any]) -> None:
    for key in _NAMES:
        if key not in record:
            continue
        name = record[key]
        is_text = isinstance(name, str)
        reason = why_unsafe(name, is_stem=key == "stem") if is_text else "it is not a string"
        if reason is not None:
            raise InputError(
                f"'{where}' gives {name!r} as {key} of an image: {reason}. Names in a "
                "manifest are paths within its folder. `dseg predict` did not write this "
                "file: do not use it"
            )


def ordered_records(
    records: Mapping[str, dict[str, Any]], stems: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the records of these images in this order, then the others."""
    ours = [stem for stem in stems if stem in records]
    others = records.keys() - set(ours)
    return [records[stem] for stem in [*ours, *(stem for stem in records if stem in others)]]


class Manifest:
    """The record of a folder of masks.

    Parameters
    ----------
    folder : path
        The folder of masks; it need not exist yet.

    Attributes
    ----------
    records : dict
        The record of each image, by stem. A line that a killed run left incomplete is skipped.

    Raises
    ------
    InputError
        If a name or path of a record leads out of the folder.
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
            If a name or path of a record leads out of the folder.
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
            self.records |= checked_records(self.path, records_in(added))

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; call it after `refresh`, with the guard held (`Claim.exclusive`)."""
        whole = sealed(record)
        status = append_record(self.path, whole)
        self._inode, self._bytes_read = status.st_ino, status.st_size
        self.records[composed(record["stem"])] = whole

    def forget(self, stems: Sequence[str]) -> None:
        """Drop the records of images; call it with the guard held, or while no other run writes."""
        self.refresh()
        for stem in stems:
            self.records.pop(composed(stem), None)
        rewrite_records(self.path, self.records.values())

    def compact(self, stems: Sequence[str]) -> None:
        """Write one line for each image; call it with the guard held (`Claim.exclusive`).

        What other runs have added meanwhile is kept. Nothing is written if it is so already.

        Parameters
        ----------
        stems : sequence of str
            Images in the order that their lines are to have; other images follow.
        """
        self.refresh()
        if self.records or self.path.is_file():
            rewrite_records(self.path, ordered_records(self.records, stems))
