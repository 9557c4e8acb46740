"""List the files of a folder and its sub-folders, and describe those that are skipped.

Symbolic links to folders are followed. Each real folder is visited once: under its own name if it
lies in the folder, else under the first link to it. So links that form a loop end.
"""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..names import why_unsafe
from .location import Location, UrlPath

__all__ = [
    "Walk",
    "count_suffixes",
    "describe_skipped",
    "every_file",
    "lower_suffix",
    "walk",
    "within",
]

# Files that often lie among images and labels, and that nobody expects to be read as one.
_PLAIN = frozenset(
    {".aae", ".cfg", ".csv", ".db", ".html", ".ini", ".ipynb", ".json", ".jsonl", ".log", ".md"}
    | {".part", ".py", ".rst", ".sh", ".toml", ".tsv", ".txt", ".xlsx", ".xml", ".xmp", ".yaml"}
    | {".yml"}
)
_PLAIN_NAMES = ("license", "licence", "readme", "makefile", "copying", "notice", "thumbs")


@dataclass
class Walk:
    """What a folder and its sub-folders hold.

    Parameters
    ----------
    root : Path or UrlPath
    files : list of Path or UrlPath
        Each begins with the root. Without hidden files and those in hidden folders.
    hidden : list of Path or UrlPath
        Files and folders whose name begins with a dot, except those that macOS writes ("._").
    followed : list of Path
        The targets of links to folders.
    repeated : list of Path
        Links to folders that are visited under another name, or that contain the root.
    closed : list of Path
        Folders that cannot be opened.
    """

    root: Location
    files: list[Location] = field(default_factory=list)
    hidden: list[Location] = field(default_factory=list)
    followed: list[Path] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)


def walk(root: Location) -> Walk:
    """Return the files of a folder and its sub-folders, sorted by path within it.

    Raises
    ------
    InputError
        If the name of an object, or of a file in a zip file, leads out of the folder.
    """
    if isinstance(root, UrlPath):
        return _walk_url(root)
    found, seen, real = Walk(root), set[tuple[int, int]](), root.resolve()
    folders, links = deque([root]), list[Path]()
    while folders or links:
        if folders:
            links += _visit(folders.popleft(), found, folders, seen)
            continue
        links.sort()
        link = links.pop(0)
        target = link.resolve()
        if real.is_relative_to(target) or _identity(target) in seen:
            found.repeated.append(link)
        else:
            found.followed.append(target)
            folders.append(link)
    for files in (found.files, found.hidden):
        files.sort(key=lambda path: within(path, root))
    return found


def _walk_url(root: UrlPath) -> Walk:
    """Return the objects under a URL; there are no links, and no folders that are closed."""
    found = Walk(root)
    for path in root.files():
        name = path.relative_to(root)
        if (reason := why_unsafe(str(name))) is not None:
            raise InputError(f"'{root}' contains {str(name)!r}: {reason}")
        dotted = [part for part in name.parts if part.startswith(".")]
        if not dotted:
            found.files.append(path)
        elif not dotted[0].startswith("._") and dotted[0] != ".DS_Store":
            found.hidden.append(path)
    return found


def _visit(
    folder: Path, found: Walk, folders: deque[Path], seen: set[tuple[int, int]]
) -> Iterator[Path]:
    """Record what a folder holds; yield its links to folders.

    Links come last, see `walk`: a folder's own name wins over a link to it.
    """
    try:
        who = _identity(folder)
        entries = [] if who in seen else list(os.scandir(folder))
    except OSError:
        found.closed.append(folder)
        return
    seen.add(who)
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            if not entry.name.startswith("._") and entry.name != ".DS_Store":
                found.hidden.append(path)
        elif not _is_folder(entry):
            found.files.append(path)
        elif entry.is_symlink():
            yield path
        else:
            folders.append(path)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def every_file(folder: Path) -> Iterator[Path]:
    """Yield all files of a folder and its sub-folders, hidden ones too, and links as they are."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in sorted((*files, *links)))


def within(path: Location, folder: Location) -> str:
    """Return the path of a file within a folder, with "/"."""
    if isinstance(path, UrlPath) and isinstance(folder, UrlPath):
        return str(path.relative_to(folder))
    assert isinstance(path, Path)
    assert isinstance(folder, Path)
    return path.relative_to(folder).as_posix()


def lower_suffix(path: Location) -> str:
    """Return the suffix of a file's name in lower case, with its dot.

    >>> lower_suffix(Path("a/IMG_1.HEIC")), lower_suffix(Path("README"))
    ('.heic', '')
    """
    return path.suffix.lower()


def count_suffixes(paths: Collection[Location]) -> str:
    """Return how many files have which suffix, in words, the most common first.

    >>> count_suffixes([Path("a.heic"), Path("b.HEIC"), Path("c.npy"), Path("d")])
    '2 .heic, 1 .npy, 1 without an ending'
    """
    counts = Counter(map(lower_suffix, paths)).most_common()
    shown = [f"{count} {name or 'without an ending'}" for name, count in counts[:6]]
    rest = sum(count for _, count in counts[6:])
    return ", ".join([*shown, *([f"{rest} of other types"] if rest else [])])


def describe_skipped(found: Walk, suffixes: frozenset[str]) -> str:
    """Describe the files of a folder that are skipped and that a user may miss.

    Parameters
    ----------
    found : Walk
    suffixes : collection of str
        Of the files that are read. Another file of the same stem, such as the camera's raw file
        of a photograph, is not listed.

    Returns
    -------
    str
        Such as "24 .heic, 1 hidden"; empty if there are none.
    """
    taken = {path.with_suffix("") for path in found.files if lower_suffix(path) in suffixes}
    others = [
        path
        for path in found.files
        if lower_suffix(path) not in suffixes | _PLAIN
        and path.stem.lower() not in _PLAIN_NAMES
        and path.with_suffix("") not in taken
    ]
    hidden = [
        path
        for path in found.hidden
        if lower_suffix(path) in suffixes or _holds_any(path, suffixes)
    ]
    parts = [
        (others, count_suffixes(others)),
        (hidden, f"{len(hidden)} hidden"),
        (found.repeated, _counted(found.repeated, "link", "to folders that are included already")),
        (found.closed, _counted(found.closed, "folder", "that cannot be opened")),
    ]
    return ", ".join(words for which, words in parts if which)


def _holds_any(folder: Location, suffixes: Collection[str]) -> bool:
    """Whether a folder directly contains files with such suffixes."""
    if isinstance(folder, UrlPath):
        return False  # an object: those in hidden folders are listed themselves
    try:
        return folder.is_dir() and any(lower_suffix(path) in suffixes for path in folder.iterdir())
    except OSError:
        return False


def _counted(paths: Collection[Path], what: str, which: str) -> str:
    first = next(iter(paths), None)
    return f"{len(paths)} {what}{'s' if len(paths) > 1 else ''} {which} ('{first}')"
