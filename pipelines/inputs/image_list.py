"""Select the images of a command: ``--list`` files and shards."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ...extract.images.files import EXTENSIONS
from ...store.errors import InputError
from ...store.names import composed
from ...store.texts import read_text

__all__ = ["duration", "named", "read_list", "select", "shard_of"]

_SHOWN = 5

MOST_CHARACTERS = 4096
"""Of a path, on most systems. What an entry names is found in time by the square of its length."""

T = TypeVar("T")


def _listed_stem(entry: str, known: Collection[str]) -> tuple[str, str] | None:
    """Return the known stem that an entry of a list names, and the folder before it; None if none.

    A path, also a Windows one, names the longest stem that it ends with. The extension of an image
    or label map is ignored; any other suffix is part of the name: ``cat.front`` is not ``cat``.
    """
    if entry in known:
        return entry, ""
    for written in (entry, entry.replace("\\", "/")):
        path = PurePosixPath(written)
        stem_only = path.with_suffix("") if path.suffix.lower() in EXTENSIONS | {".npy"} else path
        for whole in (path, stem_only):
            for first in range(len(whole.parts)):
                stem = "/".join(whole.parts[first:])
                if stem in known:
                    return stem, "/".join(whole.parts[:first])
    return None


def named(names: Iterable[str]) -> str:
    """Return names for a message: the first few, then how many more.

    Examples
    --------
    >>> named(["a", "b"])
    "'a', 'b'"
    """
    all_names = list(names)
    shown = ", ".join(f"'{name}'" for name in all_names[:_SHOWN])
    return shown if len(all_names) <= _SHOWN else f"{shown} and {len(all_names) - _SHOWN} more"


def duration(seconds: float) -> str:
    """Return a time for a message.

    Examples
    --------
    >>> duration(42), duration(400), duration(9000)
    ('42 seconds', '7 minutes', '2.5 hours')
    """
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


_EXPECTED = "give one image name per line, such as 7 or photos/7.jpg"


def read_list(path: Path) -> tuple[str, ...]:
    """Read stems, one a line; blank lines and lines that begin with ``#`` do not count.

    Raises
    ------
    InputError
        If the file is not text, empty, or names a stem twice.
    """
    try:
        lines = [line.strip() for line in read_text(path).splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"--list '{path}' is not a UTF-8 text file: {_EXPECTED}") from error
    except ValueError as error:
        raise InputError(f"--list '{path}' cannot be read: {error}") from error
    if any(len(line) > MOST_CHARACTERS for line in lines):
        raise InputError(f"--list '{path}' has a line that is too long: {_EXPECTED}")
    stems = tuple(composed(line) for line in lines if line and not line.startswith("#"))
    if not stems:
        raise InputError(f"--list '{path}' contains no image: {_EXPECTED}")
    repeated = sorted(stem for stem, count in Counter(stems).items() if count > 1)
    if repeated:
        raise InputError(f"--list '{path}' contains {named(repeated)} more than once")
    return stems


def select(known: Sequence[str], wanted: Sequence[str] | None, what: str) -> list[str]:
    """Return the known stems that a list names, in the order of ``known``.

    Entries may also be paths to images or label maps, see `_listed_stem`. All must be in one
    folder, because the folder itself is ignored: x/1.png and y/1.png would be the same image.

    Parameters
    ----------
    known : sequence of str
        All stems.
    wanted : sequence of str, optional
        Entries of the list; None selects all.
    what : str
        What the known ones are, for messages, such as "images in 'photos'".

    Raises
    ------
    InputError
        If an entry matches nothing, or paths are not in one folder.
    """
    if wanted is None:
        return list(known)
    known_stems = set(known)
    found = {entry: _listed_stem(composed(entry), known_stems) for entry in wanted}
    missing = [entry for entry, stem in found.items() if stem is None]
    matched = {entry: stem for entry, stem in found.items() if stem is not None}
    folders = {folder: entry for entry, (_, folder) in matched.items()}
    if (
        "" in folders
    ):  # some entries are plain stems, so an entry in another folder is another image
        missing += [entry for entry, (_, folder) in matched.items() if folder]
    elif len(folders) > 1:
        raise InputError(
            f"--list contains paths in several folders, such as {named(folders.values())}, "
            f"but the {what} have names such as '{known[0]}': write the names in that form"
        )
    if missing:
        missing_entries = set(missing)
        missing = [entry for entry in wanted if entry in missing_entries]
        raise InputError(
            f"--list contains {named(missing)}, not found among the {len(known)} {what}"
            + _nearest(missing[0], known)
        )
    chosen = {stem for stem, _ in matched.values()}
    return [stem for stem in known if stem in chosen]


def _nearest(entry: str, known: Sequence[str]) -> str:
    """Suggest a similar stem, as the end of a message."""
    name = PurePosixPath(entry.replace("\\", "/")).name
    stem_only, _ = _listed_stem(name, {PurePosixPath(stem).name for stem in known}) or (name, "")
    similar = [stem for stem in known if PurePosixPath(stem).name == stem_only]
    similar = (
        similar or get_close_matches(entry, known, 1) or get_close_matches(stem_only, known, 1)
    )
    return (
        f"; did you mean '{similar[0]}'?" if similar else f", such as '{known[0]}'" if known else ""
    )


def shard_of(items: Sequence[T], shard: tuple[int, int] | None) -> list[T]:
    """Return the i-th of n interleaved parts; together the parts contain every item once."""
    if shard is None:
        return list(items)
    i, n = shard
    return list(items[i::n])
