"""``predictions.jsonl`` of a folder of masks by URL, where nothing can be added to a file.

While a run is active each image's record is an object of its own, hidden; a run that ends takes
them into the one file. A record that a killed run has left counts as a line does.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

from ...store.errors import DsegError
from ...store.json_lines import records_in
from ...store.names import composed
from ...store.seals import sealed
from ...store.urls.location import UrlPath
from .manifest import FILE, checked_records, ordered_records

__all__ = ["ManifestObjects"]

_PENDING = ".predictions"
_TRIES = 20


class ManifestObjects:
    """The record of a folder of masks by URL, as `Manifest`.

    Parameters
    ----------
    folder : UrlPath

    Attributes
    ----------
    records : dict
        The record of each image, by stem.

    Raises
    ------
    InputError
        If a name or path of a record leads out of the folder.
    """

    def __init__(self, folder: UrlPath) -> None:
        self._path, self._pending = folder / FILE, folder / _PENDING
        self.records: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            self._take(self._path.read_bytes())
        if folder.objects.can_list:
            self._take_pending()

    def refresh(self) -> None:
        """Do nothing: other runs write records of other images, which `compact` keeps."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the record of an image."""
        stem, record = composed(record["stem"]), sealed(record)
        name = f"{sha256(stem.encode()).hexdigest()}.json"
        (self._pending / name).write_bytes((json.dumps(record) + "\n").encode())
        self.records[stem] = dict(record)

    def compact(self, stems: Sequence[str]) -> None:
        """Write one line for each image, see `Manifest.compact`, and remove the single records.

        Raises
        ------
        DsegError
            If other runs write it again and again meanwhile.
        """
        objects, key = self._path.objects, self._path.key
        for _ in range(_TRIES):
            there = objects.tagged(key)
            if there is not None:
                self._take(there[0])
            taken = self._take_pending()
            lines = "".join(json.dumps(one) + "\n" for one in ordered_records(self.records, stems))
            data, tag = lines.encode(), None if there is None else there[1]
            if (there is not None and data == there[0]) or not data:
                break
            if objects.put_if(key, data, tag) is not None:
                break
        else:
            raise DsegError(f"'{self._path}' is written by other runs all the time: repeat this")
        for path in taken:
            path.unlink()

    def _take(self, data: bytes) -> None:
        self.records |= checked_records(self._path, records_in(data))

    def _take_pending(self) -> list[UrlPath]:
        """Read the single records; return where they are."""
        found = list(self._pending.files())
        for path in found:
            try:
                self._take(path.read_bytes())
            except FileNotFoundError:  # another run has taken it into the file
                continue
        return found
