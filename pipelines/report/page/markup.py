"""HTML as text that cannot be confused with what files say: every other text is escaped.

`tag` takes children; those that are `Html` stand as they are, all others are text. So a name of a
class or a file that looks like HTML is shown as it is.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

from ...console.plain_text import visible

__all__ = ["Html", "cell_table", "data_table", "joined", "shortened", "tag", "text"]

_VOID = frozenset({"br", "col", "hr", "img", "meta"})
_MOST_SHOWN = 160  # characters of a name or a value

# What HTML calls errors in a text: noncharacters, and halves of surrogate pairs.
_NO_CHARACTER = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(words: str) -> Html:
    """Return a text as HTML, what is no character in it as escapes.

    Examples
    --------
    >>> text('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    if isinstance(words, Html):
        return words
    plain = _NO_CHARACTER.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(words))
    return Html(escape(plain.replace("\r", "\\r"), quote=True))


def shortened(words: str, most: int = _MOST_SHOWN) -> str:
    """Return a text without its middle if it is long.

    Examples
    --------
    >>> shortened("abcdefghij", 7)
    'abc…hij'
    """
    half = most // 2
    return words if len(words) <= most else f"{words[:half]}…{words[-half:]}"


def tag(name: str, *children: str, **attributes: object) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
    *children : str
        Escaped unless they are `Html`.
    **attributes
        ``class_`` stands for class, ``aria_label`` for aria-label; None leaves one out.

    Examples
    --------
    >>> tag("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(parts: Iterable[str], between: str = "") -> Html:
    """Return several texts as one, escaped unless they are `Html`."""
    return Html(text(between).join(map(text, parts)))


def cell_table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Iterable[str]],
    name: str,
    **attributes: object,
) -> Html:
    """Return a table of finished cells, in a part of the page that scrolls by itself.

    On a narrow screen the table scrolls, not the page; by keyboard, too, so it has the focus.

    Parameters
    ----------
    caption : str
    head : sequence of str
        One a column.
    rows : iterable of iterables of Html
        ``th`` and ``td`` elements.
    name : str
        An id for the caption, unique in the page.
    """
    heads = joined(tag("th", one, scope="col") for one in head)
    body = joined(tag("tr", joined(row)) for row in rows)
    table = tag(
        "table",
        tag("caption", tag("span", caption), id=name),
        tag("thead", tag("tr", heads)),
        tag("tbody", body),
        **attributes,
    )
    return tag("div", table, class_="scroll", role="region", aria_labelledby=name, tabindex="0")


def data_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], name: str) -> Html:
    """Return a table whose first column names its rows; see `cell_table`."""
    cells = ([tag("th", row[0], scope="row"), *(tag("td", one) for one in row[1:])] for row in rows)
    return cell_table(caption, head, cells, name)
