"""Finished results in one JSON file, written anew, whole, after each: a killed run goes on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...store.atomic_folder import is_free
from ...store.differences import differences
from ...store.errors import InputError
from ...store.texts import read_json
from ...store.whole_file import write_whole

__all__ = ["ResultFile"]

T = TypeVar("T")
VERSION = 1
_ELSE = "give another --out, or replace it (--overwrite)"


@dataclass(frozen=True)
class ResultFile:
    """The file of a command's results.

    Parameters
    ----------
    folder : path
        It need not be there yet.
    command : str
        The file is ``<command>.json``, its format ``dseg-<command>``.
    """

    folder: Path
    command: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.command}.json"

    def read(self, parse: Callable[[dict[str, Any]], T], overwrite: bool) -> T | None:
        """Return what ``parse`` makes of the file; None if there is none, or it is to be replaced.

        Raises
        ------
        InputError
            If the folder holds other things, or the file cannot be read.
        """
        if not self.path.is_file() and not is_free(self.folder):
            raise InputError(
                f"'{self.folder}' exists and does not contain results of `dseg {self.command}`: "
                "give another --out"
            )
        if overwrite or not self.path.is_file():
            return None
        try:
            facts = read_json(self.path)
            if (facts["format"], facts["version"]) != (f"dseg-{self.command}", VERSION):
                raise ValueError(f"format {facts['format']} {facts['version']}")
            return parse(facts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"'{self.path}' is damaged, or was not written by this version of `dseg "
                f"{self.command}` ({error!r}): {_ELSE}"
            ) from error

    def refuse_others(
        self, there: Mapping[str, Any], here: Mapping[str, Any], words: Mapping[str, str]
    ) -> None:
        """Refuse results of other images or settings; ``words`` as in `differences`.

        Raises
        ------
        InputError
        """
        other = differences(there, here, words)
        if other:
            raise InputError(
                f"'{self.path}' contains results that differ in {'; '.join(other)}: {_ELSE}"
            )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write the file.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        plain = {"format": f"dseg-{self.command}", "version": VERSION, **facts}
        text = json.dumps(plain, indent=1, allow_nan=False) + "\n"
        write_whole(self.path, text.encode())
