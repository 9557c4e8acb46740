"""How a long run tells where it is: words and bars on stderr, or nothing at all."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["Advance", "Console", "Progress"]

Advance = Callable[[int], None]


class Progress:
    """Says nothing: what a pipeline uses unless it is told otherwise."""

    def say(self, text: str) -> None:
        """Tell what is being done."""

    def warn(self, text: str) -> None:
        """Tell what is not as it should be, though the run goes on."""

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """Show how far a stage of ``total`` units is; yields a function that advances it."""
        yield lambda n: None


class Console(Progress):
    """Words on stderr, bars only where stderr is a terminal.

    Parameters
    ----------
    quiet : bool
        No words and no bars; warnings still come.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Write to stderr unless quiet."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        """Write to stderr, quiet or not."""
        tqdm.write(f"Warning: {text}", file=sys.stderr)

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar on a terminal."""
        hidden = self.quiet or not sys.stderr.isatty()
        with tqdm(
            total=total, desc=label, unit=f" {unit}", disable=hidden, dynamic_ncols=True
        ) as bar:
            yield lambda n: bar.update(n) and None
