"""Which files are images: those of a folder, or those that are given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ...store.errors import InputError
from ...store.names import stem_of
from ...store.urls.location import Location
from ...store.urls.walking import describe_skipped, lower_suffix, walk, within

__all__ = ["EXTENSIONS", "ImageFiles", "find_images", "list_images"]

HEIC = frozenset({".heic", ".heif"})
"""Of files that Pillow reads with pillow-heif."""

_SECOND = frozenset({".avif", ".j2k", ".jp2", *HEIC})
"""Of files that are skipped beside another of the same name: phones export photographs as both."""

EXTENSIONS = _SECOND | frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class ImageFiles:
    """The images that a command is given.

    Parameters
    ----------
    where : str
        The folder, or the only image, in quotes for a message.
    files : dict
        Path of each by its name: the path within the folder, with "/" and with extension.
    folders : tuple of Path or UrlPath
        Real folders that hold images: the one given, and those that links in it lead to; none where
        single images are given.
    passed : str
        In words, which files of the folder are not taken; empty if there are none worth a word.
    """

    where: str
    files: dict[str, Location]
    folders: tuple[Location, ...] = ()
    passed: str = ""

    @property
    def local(self) -> dict[str, Path]:
        """Those that are files of this machine: all, if the command takes no URLs."""
        return {name: path for name, path in self.files.items() if isinstance(path, Path)}

    @property
    def by_stem(self) -> dict[str, str]:
        """The name of each by its stem."""
        return {stem_of(name): name for name in self.files}


def list_images(folder: str | Path) -> list[Path]:
    """Return the images in a folder and its sub-folders, sorted by their relative paths.

    Hidden files and folders are left out, links to folders are followed, see `walking`.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of Path
        Each begins with ``folder``.

    Raises
    ------
    InputError
        If it is no folder, holds no image, or two images have one stem (the relative path without
        extension), for labels and masks are matched by it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"images folder '{folder}' {what}: give a folder of images")
    files = find_images([folder]).files.values()
    return [path for path in files if isinstance(path, Path)]  # all: the folder is local


def find_images(sources: Sequence[Location]) -> ImageFiles:
    """Return the images of a folder, see `list_images`, or those that are given themselves.

    Raises
    ------
    InputError
        If there are none, two have one stem, or a file has not the ending of an image.
    """
    if len(sources) == 1 and _is_folder(sources[0]):
        return _in_folder(sources[0])
    for path in sources:
        if _is_folder(path):
            raise InputError(f"'{path}' is a folder: give one folder of images, or images alone")
        if lower_suffix(path) not in EXTENSIONS:
            raise InputError(
                f"'{path}' is not an image file: images end in {' '.join(sorted(EXTENSIONS))}"
            )
    _refuse_shared_stems((path.name, str(path)) for path in sources)
    where = f"'{sources[0]}'" if len(sources) == 1 else f"the {len(sources)} files given"
    return ImageFiles(where, {path.name: path for path in sources})


def _is_folder(path: Location) -> bool:
    """Whether a path is a folder; a URL is one unless it ends as images do."""
    return path.is_dir() if isinstance(path, Path) else lower_suffix(path) not in EXTENSIONS


def _in_folder(folder: Location) -> ImageFiles:
    found = walk(folder)
    known_suffixes = EXTENSIONS if find_spec("pillow_heif") else EXTENSIONS - HEIC
    images = _without_copies(p for p in found.files if lower_suffix(p) in known_suffixes)
    names = [within(path, folder) for path in images]
    passed = describe_skipped(found, known_suffixes)
    if any(lower_suffix(path) in HEIC - known_suffixes for path in found.files):
        passed += " (to read HEIC: pip install 'dseg[formats]')" if passed else ""
    if not images:
        known = " ".join(sorted(known_suffixes))
        there = f"; skipped: {passed}" if passed else ""
        raise InputError(f"no image in '{folder}': looked for files ending in {known}{there}")
    _refuse_shared_stems((name, name) for name in names)
    folders: tuple[Location, ...] = (folder.resolve(), *found.followed)
    return ImageFiles(f"'{folder}'", dict(zip(names, images, strict=True)), folders, passed)


def _without_copies(paths: Iterable[Location]) -> list[Location]:
    """Leave out files of `_SECOND` kinds that lie beside another image of the same name."""
    every = list(paths)
    first = {path.with_suffix("") for path in every if lower_suffix(path) not in _SECOND}
    return [p for p in every if lower_suffix(p) not in _SECOND or p.with_suffix("") not in first]


def _refuse_shared_stems(names: Iterable[tuple[str, str]]) -> None:
    """Refuse images, by name and what to call them, whose labels and masks would have one name."""
    by_stem: dict[str, str] = {}
    for name, called in names:
        other = by_stem.setdefault(stem_of(name), called)
        if other != called:
            raise InputError(
                f"images '{other}' and '{called}' differ only in their extension, their folder or "
                "the Unicode form of their names, but labels and masks are matched by name without "
                "extension: rename or remove one"
            )
