"""Files of a web server: read by their address, listed by the links of its pages."""

from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from .bucket import Bucket
from .errors import UrlError

__all__ = ["WebServer"]

_MOST_PAGES = 10_000


class WebServer(Bucket):
    """The files of a web server, see `Objects`: read-only.

    A folder is listed by the page that the server shows of it, as nginx, Apache and ``python -m
    http.server`` do; sub-folders are those links that end in ``/``.
    """

    can_list = False
    can_write = False

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the files that the page of a folder links to, and those of its sub-folders.

        Their sizes are not on the page: they are 0.
        """
        found, folders, seen = dict[str, int](), [folder], {folder}
        while folders:
            here = folders.pop()
            for name in self._links(here):
                key = f"{here}/{name}".lstrip("/")
                if not name.endswith("/"):
                    found[key] = 0
                elif key.rstrip("/") not in seen:
                    seen.add(key.rstrip("/"))
                    folders.append(key.rstrip("/"))
            if len(seen) > _MOST_PAGES:
                raise UrlError(f"'{self._root}/{folder}' has more than {_MOST_PAGES} folders")
        return dict(sorted(found.items()))

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of what the page of a folder links to."""
        return tuple(name.rstrip("/") for name in self._links(folder))

    def put(self, key: str, data: bytes) -> None:
        """Refuse: it is read-only."""
        raise _read_only(self._root)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Refuse: it is read-only."""
        raise _read_only(self._root)

    def delete(self, key: str) -> None:
        """Refuse: it is read-only."""
        raise _read_only(self._root)

    def _links(self, folder: str) -> list[str]:
        """Return the names directly below that a folder's page links to, folders with ``/``.

        The page's address ends in ``/``, which obstore has no key for.
        """
        from urllib.error import HTTPError, URLError
        from urllib.parse import quote
        from urllib.request import urlopen

        address = f"{self._root}/{quote(folder)}".rstrip("/") + "/"
        try:
            with urlopen(address, timeout=60) as answer:  # http or https: see `location`
                base, page = answer.url, answer.read().decode(errors="replace")
        except HTTPError as error:
            if error.code == 404:
                return []
            raise UrlError(f"cannot list '{address}': the server answers {error.code}") from None
        except (URLError, OSError):
            raise UrlError(f"cannot list '{address}': the connection failed") from None
        parser = _Links()
        parser.feed(page)
        names = dict[str, None]()
        for link in parser.links:
            whole = urlsplit(urljoin(base, link))._replace(query="", fragment="").geturl()
            name = unquote(whole.removeprefix(base)) if whole.startswith(base) else ""
            if name.rstrip("/") not in ("", ".", "..") and "/" not in name.rstrip("/"):
                names[name] = None
        return list(names)


def _read_only(root: str) -> UrlError:
    return UrlError(f"'{root}' is a web server, which can only be read")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a link leads to."""
        self.links += [value for key, value in attrs if tag == "a" and key == "href" and value]
