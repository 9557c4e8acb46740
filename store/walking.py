"""The files of a folder: which there are, and which nobody takes.

Links to folders are followed, each real folder is visited once: under its own name if it lies in
the folder, else under the first link to it. So links that form a loop end.
"""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Walk", "ending", "in_words", "passed_over", "walk"]

# What stands beside images and labels and is nothing that anybody would miss.
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
    root : Path
    files : list of Path
        Each begins with the root; hidden ones, and those of hidden folders, are not among them.
    hidden : list of Path
        Files and folders whose name begins with a dot, but for those of macOS beside each file.
    followed : list of Path
        Where links to folders lead.
    repeated : list of Path
        Links to folders that are visited under another name, or that hold the root.
    closed : list of Path
        Folders that cannot be opened.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    followed: list[Path] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)


def walk(root: Path) -> Walk:
    """Return the files of a folder and its sub-folders, sorted by path within it."""
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
        files.sort(key=lambda path: path.relative_to(root).as_posix())
    return found


def _visit(
    folder: Path, found: Walk, folders: deque[Path], seen: set[tuple[int, int]]
) -> Iterator[Path]:
    """Enter what a folder holds; yield its links to folders."""
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


def ending(path: Path) -> str:
    """Return the ending of a file's name in small letters, with its dot.

    >>> ending(Path("a/IMG_1.HEIC")), ending(Path("README"))
    ('.heic', '')
    """
    return path.suffix.lower()


def in_words(paths: Collection[Path]) -> str:
    """Return how many files have which ending, the most common first.

    >>> in_words([Path("a.heic"), Path("b.HEIC"), Path("c.npy"), Path("d")])
    '2 .heic, 1 .npy, 1 without an ending'
    """
    counts = Counter(map(ending, paths)).most_common()
    shown = [f"{count} {name or 'without an ending'}" for name, count in counts[:6]]
    rest = sum(count for _, count in counts[6:])
    return ", ".join([*shown, *([f"{rest} of other types"] if rest else [])])


def passed_over(found: Walk, endings: frozenset[str]) -> str:
    """Say in words which files of a folder are not taken, of those that somebody may miss.

    Parameters
    ----------
    found : Walk
    endings : collection of str
        Of what is taken. Other files of the same name, as a raw file beside its photograph, are
        not missed.

    Returns
    -------
    str
        Such as "24 .heic, 1 hidden"; empty if there are none.
    """
    taken = {path.with_suffix("") for path in found.files if ending(path) in endings}
    others = [
        path
        for path in found.files
        if ending(path) not in endings | _PLAIN
        and path.stem.lower() not in _PLAIN_NAMES
        and path.with_suffix("") not in taken
    ]
    hidden = [path for path in found.hidden if ending(path) in endings or _holds(path, endings)]
    parts = [
        (others, in_words(others)),
        (hidden, f"{len(hidden)} hidden"),
        (found.repeated, _counted(found.repeated, "link", "to folders that are included already")),
        (found.closed, _counted(found.closed, "folder", "that cannot be opened")),
    ]
    return ", ".join(words for which, words in parts if which)


def _holds(folder: Path, endings: Collection[str]) -> bool:
    """Whether a folder has such files itself."""
    try:
        return folder.is_dir() and any(ending(path) in endings for path in folder.iterdir())
    except OSError:
        return False


def _counted(paths: Collection[Path], what: str, which: str) -> str:
    first = next(iter(paths), None)
    return f"{len(paths)} {what}{'s' if len(paths) > 1 else ''} {which} ('{first}')"
