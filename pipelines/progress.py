"""How a long run tells where it is: words and bars on stderr, or nothing at all."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["Advance", "Console", "Part", "Progress"]

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


class Part(Progress):
    """One of several runs that look alike: its bars begin with which one it is.

    Parameters
    ----------
    whole : Progress
    name : str
        Such as "fold 2/5".
    """

    def __init__(self, whole: Progress, name: str) -> None:
        self._whole, self._name = whole, name

    def say(self, text: str) -> None:
        """Say it of this part."""
        self._whole.say(f"{self._name}: {text}")

    def warn(self, text: str) -> None:
        """Warn of this part."""
        self._whole.warn(f"{self._name}: {text}")

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar of this part."""
        with self._whole.bar(f"{self._name}, {label}", total, unit) as advance:
            yield advance
