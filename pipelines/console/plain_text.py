"""Text for a terminal, whatever names of files and values of files are in it."""

import re

__all__ = ["visible"]

# Control characters but line feed and tab, and signs that change the direction of a text: they
# would move the cursor, recolour or rewrite what stands there.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return a text with characters that a terminal would obey written as escapes.

    Examples
    --------
    >>> visible("image '\x1b[31mred.png'")
    "image '\\x1b[31mred.png'"
    """
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
