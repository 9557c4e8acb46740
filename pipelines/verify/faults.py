"""Something that is not as dseg wrote it, and what mends it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...store.atomic_folder import is_temporary
from ...store.claims import is_lock
from ...store.read.strays import LEFT
from ...store.urls.walking import every_file
from ..console.progress import Progress

__all__ = ["Aside", "Fault", "Subject", "leftovers_in"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Parameters
    ----------
    file : str
        Path within what is verified.
    words : str
        What is wrong with it.
    image : str, optional
        Which image it is of.
    mend : callable, optional
        Removes it, or writes it again; None if that cannot be done.
    remade : bool
        Whether, once mended, the image is to be made again by the command that made it.
    """

    file: str
    words: str
    image: str | None = None
    mend: Callable[[], None] | None = field(default=None, compare=False, repr=False)
    remade: bool = False


class Aside:
    """A folder beside what is verified, for files of which it is not sure that they are ours.

    Parameters
    ----------
    path : Path
        What is verified.
    """

    def __init__(self, path: Path) -> None:
        self._root = path
        self.folder = path.absolute().with_name(f"{path.absolute().name}.set-aside")
        self.used = False

    def move(self, file: Path) -> None:
        """Move a file there, under its own path, with a number if there is one already.

        Nothing is done if it is gone.
        """
        if not (file.exists() or file.is_symlink()):
            return
        target, number = self.folder / file.relative_to(self._root), 1
        while target.exists() or target.is_symlink():
            number += 1
            target = self.folder / f"{file.relative_to(self._root)}-{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        self.used = True


class Subject(ABC):
    """What is verified.

    Parameters
    ----------
    path : Path
    aside : Aside

    Attributes
    ----------
    kind : str
        What it is, in words.
    again : str
        What makes again what was removed.
    images : int
        How many images it should hold, as far as `faults` has found out.
    """

    kind: str
    again: str

    def __init__(self, path: Path, aside: Aside) -> None:
        self._path, self._aside, self.images = path, aside, 0

    @abstractmethod
    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong; what only shows when others are mended comes the next time.

        Parameters
        ----------
        progress : Progress
        alone : bool
            Whether no run is writing there: what is not complete is left over then.
        """


def leftovers_in(path: Path) -> list[Fault]:
    """Return the temporary files and locks of killed runs in a folder in which no run writes.

    Sub-folders that other runs have claimed are theirs.
    """
    found, others = [], set[Path]()
    for file in every_file(path):
        if any(parent in others for parent in file.parents):
            continue
        if file.parent != path and is_lock(file.name):
            others.add(file.parent)
        elif is_temporary(file.name) or is_lock(file.name):
            name = file.relative_to(path).as_posix()
            found.append(Fault(name, LEFT, mend=partial(file.unlink, missing_ok=True)))
    return found
