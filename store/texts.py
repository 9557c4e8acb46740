"""Text files that people write: lists, class names, settings."""

import codecs
from pathlib import Path

__all__ = ["read_text"]

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """Return the text of a file: UTF-8, with or without a byte-order mark, or UTF-16 with one.

    Windows' editors and shells write marks, PowerShell's ``>`` writes UTF-16.

    Raises
    ------
    UnicodeDecodeError
        If it is neither.
    """
    data = path.read_bytes()
    return data.decode("utf-16" if data.startswith(_WIDE) else "utf-8-sig")
