"""XML that may come from anybody: no entities, no endless nesting, no file past a bound."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from .limits import MOST_BYTES

__all__ = ["parse_xml"]

_MOST_DEPTH = 100
_MOST_ELEMENTS = 2_000_000
"""Each has some 500 bytes in memory."""


class _Bounded(TreeBuilder):
    """Builds the tree of an XML text until it goes past a bound."""

    _depth = _elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > _MOST_DEPTH:
            raise ValueError(f"it is nested deeper than {_MOST_DEPTH} elements")
        if self._elements > _MOST_ELEMENTS:
            raise ValueError(f"it has more than {_MOST_ELEMENTS} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, *_: object) -> None:
        """Refuse what may declare entities, which can expand to any size or name other files."""
        raise ValueError("it has a DOCTYPE, which annotation files have not")


def parse_xml(path: Path) -> Element:
    """Return the root of an XML file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no XML, has a DOCTYPE, or is beyond the bounds.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB, the most that dseg reads")
    parser = XMLParser(target=_Bounded())
    try:
        parser.feed(data)
        root: Element = parser.close()
    except (ParseError, LookupError) as error:  # LookupError: an encoding that does not exist
        raise ValueError(str(error)) from error
    return root
