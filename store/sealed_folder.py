"""A folder of two files that belong together: JSON with the facts, and tensors that it seals."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import InputError
from .texts import read_json

__all__ = ["SealedFolder"]

# What building from facts and tensors ends in, if these are not as they were written.
_MISFORMED = (
    *(LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError),
    SafetensorError,
)


@dataclass(frozen=True)
class SealedFolder:
    """What a kind of folder is called, and the names of its two files.

    Parameters
    ----------
    kind : str
        Such as "model".
    name : str
        What ``format`` says in its JSON file.
    version : int
    json, tensors : str
        Names of the files; ``sha256`` in the first is that of the second.
    maker : str
        The command that makes such a folder, such as "dseg fit".
    again : str
        What to do to make it anew, such as "fit again".
    """

    kind: str
    name: str
    version: int
    json: str
    tensors: str
    maker: str
    again: str

    def is_at(self, folder: Path) -> bool:
        """Say whether a folder is of this kind."""
        return (folder / self.json).is_file()

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Return its two files, the JSON last."""
        return folder / self.tensors, folder / self.json

    def facts(self, folder: Path) -> dict[str, Any]:
        """Return what the JSON file says, its format checked.

        Raises
        ------
        InputError
            If the folder is of another kind, of a newer format, or the file is damaged.
        """
        path = folder / self.json
        if not path.is_file():
            raise InputError(
                f"'{folder}' is not a {self.kind}: it has no '{self.json}'. Give a folder of "
                f"`{self.maker}`"
            )
        try:
            facts = read_json(path)
        except OSError as error:
            raise self.damaged(folder, f"'{self.json}' cannot be read: {error}") from error
        except ValueError as error:
            raise self.damaged(folder, f"'{self.json}' is not valid JSON: {error}") from error
        if not isinstance(facts, dict) or facts.get("format") != self.name:
            raise InputError(
                f"'{folder}' is not a {self.kind}: its '{self.json}' does not say "
                f'"format": "{self.name}"'
            )
        if facts.get("version") != self.version:
            raise InputError(
                f"the {self.kind} '{folder}' has format version {facts.get('version')!r}, but this "
                f"dseg reads version {self.version}: use the dseg that wrote it, or {self.again}"
            )
        return facts

    @contextmanager
    def reading(self, folder: Path, facts: dict[str, Any]) -> Iterator[bytes]:
        """Give the bytes of the tensors; whatever does not fit the facts is said to be damage.

        Raises
        ------
        InputError
            If the file cannot be read or is not the one that was written with the JSON file, or if
            the body ends in an error of a value, a type, a key or a shape.
        """
        try:
            tensors = (folder / self.tensors).read_bytes()
        except OSError as error:
            raise self.damaged(folder, f"'{self.tensors}' cannot be read: {error}") from error
        if hashlib.sha256(tensors).hexdigest() != facts.get("sha256"):
            why = f"'{self.tensors}' is not the file that was saved together with '{self.json}'"
            raise self.damaged(folder, why)
        try:
            yield tensors
        except _MISFORMED as error:
            raise self._misformed(folder, repr(error)) from error
        except ValueError as error:
            raise self._misformed(folder, str(error)) from error

    def _misformed(self, folder: Path, why: str) -> InputError:
        return self.damaged(folder, f"'{self.json}' does not have the expected form: {why}")

    def damaged(self, folder: Path, why: str) -> InputError:
        """Return the error that says so."""
        return InputError(
            f"the {self.kind} '{folder}' is damaged: {why}. Restore it from a copy, or {self.again}"
        )
