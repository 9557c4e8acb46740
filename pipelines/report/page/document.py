"""The whole page: head, navigation, sections."""

from collections.abc import Sequence
from dataclasses import dataclass

from .markup import Html, joined, shortened, tag
from .style import CSS

__all__ = ["GENERATOR", "Section", "page"]

GENERATOR = "dseg report"
"""What a page says, in its first lines, that wrote it."""

# Nothing may be loaded or run, whatever came through: the browser refuses it, too.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    name : str
        Its id.
    title : str
    body : Html
    """

    name: str
    title: str
    body: Html

    @property
    def html(self) -> Html:
        """The section under its heading, which the navigation leads to."""
        heading = tag("h2", self.title, id=f"{self.name}-title")
        return tag(
            "section", heading, self.body, id=self.name, aria_labelledby=f"{self.name}-title"
        )


def page(model: str, lead: Html, sections: Sequence[Section], footer: str) -> Html:
    """Return the page.

    Parameters
    ----------
    model : str
        Its name.
    lead : Html
        What stands above the navigation.
    sections : sequence of Section
    footer : str
    """
    title = f"How good are the masks of “{shortened(model)}”?"
    links = (tag("li", tag("a", one.title, href=f"#{one.name}")) for one in sections)
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="generator", content=GENERATOR),
        tag("title", title),
        tag("style", Html(CSS)),
    ]
    body = [
        tag("a", "Skip to the sections", href="#main", class_="skip"),
        tag("header", tag("h1", title), lead),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        tag("main", *(one.html for one in sections), id="main"),
        tag("footer", tag("p", footer)),
    ]
    whole = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return joined([Html("<!DOCTYPE html>\n"), whole, Html("\n")])
