"""Names of images as annotation files write them, made plain: for comparing, never for opening."""

import re
from urllib.parse import parse_qs, unquote, urlsplit

from ...store.errors import InputError

__all__ = ["beside", "plain_name"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


def plain_name(name: object) -> str:
    r"""Return the name of an image's file, with "/" between folders.

    Left out are what names a machine or a drive, what leads out of a folder, and empty parts.

    Parameters
    ----------
    name : str
        A path of any system, or a URL.

    Raises
    ------
    InputError
        If it is no text, or names no file.

    Examples
    --------
    >>> plain_name("a/7.jpg"), plain_name("../../x.png"), plain_name("C:\\photos\\7.jpg")
    ('a/7.jpg', 'x.png', 'photos/7.jpg')
    >>> plain_name("/data/local-files/?d=photos/7.jpg")
    'photos/7.jpg'
    >>> plain_name("https://example.org/photos/a%20b.jpg?token=1")
    'photos/a b.jpg'
    """
    if not isinstance(name, str):
        raise InputError(f"it names an image {str(name)[:60]!r}: expected the name of a file")
    path = _path_of_url(name).replace("\\", "/")
    parts = [part for part in _DRIVE.sub("", path).split("/") if part not in ("", ".", "..")]
    if not parts or "\0" in path:
        raise InputError(f"it names an image {name[:60]!r}: expected the name of a file")
    return "/".join(parts)


def _path_of_url(name: str) -> str:
    if "/local-files/?" in name:  # Label Studio's local storage
        found = parse_qs(urlsplit(name).query).get("d")
        return found[0] if found else name
    if not _URL.match(name):
        return name
    try:
        return unquote(urlsplit(name).path)
    except ValueError:  # such as "http://[", which names no machine
        return name


def beside(file: str, name: object) -> str:
    """Return the name of an image that a file names by a path from its own folder.

    Parameters
    ----------
    file : str
        The file's path within the folder that is read.
    name : str
        Of the image. One that leads out of the file's folder is only made plain.

    Examples
    --------
    >>> beside("a/7.json", "7.jpg"), beside("a/7.json", "../photos/7.jpg")
    ('a/7.jpg', 'photos/7.jpg')
    """
    plain = plain_name(name)
    folder = file.rpartition("/")[0]
    is_within = isinstance(name, str) and name.replace("\\", "/").removeprefix("./") == plain
    return f"{folder}/{plain}" if folder and is_within else plain
