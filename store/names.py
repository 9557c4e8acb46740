"""Names of images: the form in which they are compared, and whether one can be a path of ours.

Names of images stand in stores, models, manifests and lists, and become paths of masks. Who wrote
them is not known, so each is checked where it is read, before anything is made of it.
"""

import os
import unicodedata
from pathlib import PurePosixPath

__all__ = ["composed", "stem_of", "unsafe"]


def composed(name: str) -> str:
    """Return a name in the form in which names are compared, Unicode's NFC.

    macOS and what comes from it may write "é" as "e" and an accent, others as one letter.

    >>> composed("e\u0301") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def stem_of(name: str) -> str:
    """Return an image's name without its extension, `composed`: by it files of one image are found.

    >>> stem_of("cats/1.front.png")
    'cats/1.front'
    """
    return PurePosixPath(composed(name)).with_suffix("").as_posix()


def unsafe(name: str, *, is_stem: bool = False, windows: bool = os.name == "nt") -> str | None:
    r"""Say why a name cannot be a path within a folder; None if it can.

    Parameters
    ----------
    name : str
        With "/" between its parts, as dseg writes names on every system.
    is_stem : bool
        Whether it has lost its ending already.
    windows : bool
        Whether the name is for Windows, where more is special: drives, backslashes, streams, and
        dots and spaces at the end of a part, which are dropped.

    Examples
    --------
    >>> unsafe("cats/1.front.png")
    >>> unsafe("../../x.png")
    "it has a part '..', which leads out of its folder"
    >>> unsafe("/etc/x.png")
    "it begins with '/', so it is no path within a folder"
    >>> unsafe(r"..\x.png", windows=True)
    "it has a '\\', which parts paths on Windows"
    """
    if not name:
        return "it is empty"
    if "\0" in name:
        return "it has a NUL character"
    if name.startswith("/"):
        return "it begins with '/', so it is not a path within a folder"
    if windows:
        for sign, why in (
            ("\\", "separates folders on Windows"),
            (":", "names a drive on Windows"),
        ):
            if sign in name:
                return f"it has a '{sign}', which {why}"
    parts = name.split("/")
    # Labels and masks know an image by its stem, and that of "...png" is "..".
    stem = (not is_stem and parts[-1].rpartition(".")[0]) or parts[-1]
    reasons = (_unsafe(part, windows) for part in (*parts, stem))
    return next((reason for reason in reasons if reason), None)


def _unsafe(part: str, windows: bool) -> str | None:
    """Say why a part of a name cannot be a folder or a file."""
    if not part:
        return "it has an empty part"
    if part == "..":
        return "it has a part '..', which leads out of its folder"
    if part == ".":
        return "it has a part '.', which is not a name"
    if windows and part.endswith((".", " ")):
        return f"it has a part '{part}', whose end Windows removes"
    return None
