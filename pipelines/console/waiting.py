"""What is told while something goes on whose end cannot be foreseen, such as loading a network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tqdm import tqdm

from .progress_lines import Now

__all__ = ["waiting"]

_EVERY = 0.2  # seconds


@contextmanager
def waiting(label: str, say: Callable[[str], None], *, draws: bool) -> Iterator[None]:
    """Tell how long something has been going on: on a terminal all the time, else now and then.

    Parameters
    ----------
    label : str
        Such as "load the network".
    say : callable
        Called with a line now and then.
    draws : bool
        Whether stderr is a terminal: then a line there shows the time, and goes away in the end.
    """
    ended = Event()
    thread = Thread(target=_draw if draws else _tell, args=(label, say, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _draw(label: str, say: Callable[[str], None], ended: Event) -> None:
    if ended.wait(_EVERY):  # a moment needs no words
        return
    with tqdm(desc=label, bar_format="{desc}: {elapsed}", leave=False) as bar:
        while not ended.wait(_EVERY):
            bar.refresh()


def _tell(label: str, say: Callable[[str], None], ended: Event) -> None:
    due, rounds = Now(), 0
    while not ended.wait(_EVERY):
        rounds += 1
        if due():
            say(f"{label}: {tqdm.format_interval(rounds * _EVERY)} so far")
