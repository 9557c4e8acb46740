"""Names of images: the Unicode form in which they are compared, and whether one is a safe path.

Names are read from stores, models, manifests and lists, and become paths of masks. Those files may
come from anybody, so every name is checked where it is read.
"""

import os
import unicodedata
from pathlib import PurePosixPath

__all__ = ["composed", "stem_of", "why_unsafe"]

MOST_CHARACTERS = 255
"""Of a file's name: on Linux of bytes, elsewhere of characters."""
MOST_PARTS = 100
"""Folders within each other; they are made by a recursion."""


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which names are compared.

    macOS may write "é" as "e" and an accent, other systems write one character.

    >>> composed("e\u0301") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def stem_of(name: str) -> str:
    """Return an image's name without extension, `composed`: the files of one image share it.

    >>> stem_of("cats/1.front.png")
    'cats/1.front'
    """
    name = composed(name)
    folder, slash, last = name.rpartition("/")
    if last in ("", ".") or "//" in name or "/./" in name or name.startswith("./"):
        return PurePosixPath(name).with_suffix("").as_posix()
    # By hand in a seventh of the time, which counts for the many names of a large folder.
    dot = last.rfind(".")
    return folder + slash + (last[:dot] if 0 < dot < len(last) - 1 else last)


def why_unsafe(name: str, *, is_stem: bool = False, windows: bool = os.name == "nt") -> str | None:
    r"""Return why a name is not a safe path within a folder; None if it is.

    Parameters
    ----------
    name : str
        With "/" between its parts, as dseg writes names on every system.
    is_stem : bool
        Whether the name is without extension already.
    windows : bool
        Whether the name is for Windows, where more is special: drives, backslashes, streams, and
        dots and spaces at the end of a part, which Windows drops.

    Examples
    --------
    >>> why_unsafe("cats/1.front.png")
    >>> why_unsafe("../../x.png")
    "it has a part '..', which leads out of its folder"
    >>> why_unsafe("/etc/x.png")
    "it begins with '/', so it is not a path within a folder"
    >>> why_unsafe(r"..\x.png", windows=True)
    "it has a '\\', which separates folders on Windows"
    """
    if not name:
        return "it is empty"
    if "\0" in name:
        return "it has a NUL character"
    if name.startswith("/"):
        return "it begins with '/', so it is not a path within a folder"
    if windows:
        for character, why in (("\\", "separates folders"), (":", "names a drive")):
            if character in name:
                return f"it has a '{character}', which {why} on Windows"
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    parts = name.split("/")
    if len(parts) > MOST_PARTS:
        return f"it has {len(parts)} parts, {MOST_PARTS} are the most"
    # Masks are named after the stem, and the stem of "...png" is "..".
    stem = (not is_stem and parts[-1].rpartition(".")[0]) or parts[-1]
    reasons = (_unsafe(part, windows) for part in (*parts, stem))
    return next((reason for reason in reasons if reason), None)


def _unsafe(part: str, windows: bool) -> str | None:
    """Return why a part of a name cannot be a folder or a file; None if it can."""
    if not part:
        return "it has an empty part"
    if part == "..":
        return "it has a part '..', which leads out of its folder"
    if part == ".":
        return "it has a part '.', which is not a name"
    if len(part) > MOST_CHARACTERS:
        return f"it has a part of {len(part)} characters, {MOST_CHARACTERS} are the most"
    if windows and part.endswith((".", " ")):
        return f"it has a part '{part}', whose end Windows removes"
    return None
