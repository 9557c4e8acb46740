"""How finished files come to their places: renamed within a folder, or put as objects of a URL."""

from pathlib import Path
from tempfile import gettempdir

from ...store.atomic_folder import temporary_path
from ...store.urls.location import Location, UrlPath

__all__ = ["Placing"]


class Placing:
    """Gives files that were written under temporary names their final ones.

    Of a URL the temporary files are in a folder of this machine, and what is there is listed once:
    asking for each file would take as long as reading it.

    Parameters
    ----------
    out : path
        The folder, or URL.
    """

    def __init__(self, out: Location) -> None:
        self._there: set[Location] | None = None
        if isinstance(out, UrlPath):
            self._there = set(out.files())

    def temporary(self, path: Location) -> Path:
        """Return a new temporary name for a file."""
        if isinstance(path, Path):
            return temporary_path(path)
        return temporary_path(Path(gettempdir()) / "dseg")

    def place(self, temporary: Path, path: Location) -> None:
        """Give a file its name; what had it before is replaced at once.

        Raises
        ------
        OSError, UrlError
            If it cannot be.
        """
        if isinstance(path, Path):
            temporary.replace(path)
            return
        path.write_bytes(temporary.read_bytes())
        temporary.unlink()
        assert self._there is not None
        self._there.add(path)

    def remove(self, path: Location) -> None:
        """Remove a file; no error if there is none."""
        if self.has(path) or isinstance(path, Path):
            path.unlink(missing_ok=True)
        if self._there is not None:
            self._there.discard(path)

    def has(self, path: Location) -> bool:
        """Whether there is such a file."""
        return path.is_file() if self._there is None else path in self._there
