"""``log.jsonl`` of a run: a line now and then, each with the step after which it was written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...store.json_lines import append_record, records_in, rewrite_records

__all__ = ["RunLog"]


class RunLog:
    """The log of a run.

    Parameters
    ----------
    path : Path
        It need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        append_record(self._path, line)

    def lines(self) -> list[dict[str, Any]]:
        """Return its lines; one that a killed run has torn is left out."""
        data = self._path.read_bytes() if self._path.is_file() else b""
        return [line for line in records_in(data) if isinstance(line.get("step"), int)]

    def forget_after(self, step: int) -> None:
        """Remove the lines of later steps: of a future that a kill cut off.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        if self._path.is_file():
            rewrite_records(self._path, (line for line in self.lines() if line["step"] <= step))
