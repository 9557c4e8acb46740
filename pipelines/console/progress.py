"""How a long run tells where it is: words and bars or lines on stderr, or nothing at all."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from .plain_text import visible
from .progress_lines import Lines
from .waiting import waiting

__all__ = ["Advance", "Console", "SubProgress", "Progress"]

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

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show that something goes on whose end cannot be foreseen."""
        yield


class Console(Progress):
    """Words on stderr; bars where stderr is a terminal, elsewhere a line now and then.

    Parameters
    ----------
    quiet : bool
        No words, no bars and no such lines; warnings still come.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Write to stderr unless quiet."""
        if not self.quiet:
            tqdm.write(visible(text), file=sys.stderr)

    def warn(self, text: str) -> None:
        """Write to stderr, quiet or not."""
        tqdm.write(visible(f"Warning: {text}"), file=sys.stderr)

    @property
    def draws(self) -> bool:
        """Whether bars are drawn."""
        return not self.quiet and sys.stderr.isatty()

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar on a terminal, else a line now and then."""
        if not self.draws:
            lines = Lines(label, total, unit)
            yield lambda n: self._tell(lines.advance(n))
            return
        with tqdm(total=total, desc=label, unit=f" {unit}", dynamic_ncols=True) as bar:
            yield lambda n: bar.update(n) and None

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show for how long it has been going on; see `waiting`."""
        with waiting(label, self.say, draws=self.draws):
            yield

    def _tell(self, line: str | None) -> None:
        if line is not None:
            self.say(line)


class SubProgress(Progress):
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

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show it of this part."""
        with self._whole.step(f"{self._name}, {label}"):
            yield
