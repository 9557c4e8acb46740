"""Formulas as MathML, which browsers show themselves: no script, and none to load from elsewhere.

They are written as GitHub renders them: a fence of ``math``, and ``$…$`` on pages that have one.
"""

import re

from latex2mathml.converter import convert

__all__ = ["on_page_markdown", "with_mathml"]

_FENCE = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE_OR_INLINE = re.compile(r"(`[^`\n]+`)|(?<![\w$])\$(?=\S)([^$`\n]+?)(?<=\S)\$(?!\w)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Do it when MkDocs reads a page."""
    return with_mathml(markdown)


def with_mathml(markdown: str) -> str:
    """Return a page with its formulas converted.

    Raises
    ------
    ValueError
        If a formula has a command that the converter does not know.
    """
    if not _FENCE.search(markdown):
        return markdown
    markdown = _FENCE.sub(lambda found: f"<div>{_mathml(found[1], 'block')}</div>", markdown)
    return _CODE_OR_INLINE.sub(
        lambda found: found[1] or _mathml(found[2], "inline"),
        markdown,
    )


def _mathml(latex: str, display: str) -> str:
    mathml: str = convert(latex.strip(), display=display)
    unknown = re.search(r"\\\w+", mathml)
    if unknown:
        raise ValueError(f"{latex.strip()!r}: {unknown[0]} cannot be converted to MathML")
    return mathml
