"""Stop between two steps when asked to, so that what was learnt is kept."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["stop_requests"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; a batch system that wants its machine back
_ONE_REQUEST = 1.0  # seconds: a terminal and torchrun may both pass on the same Ctrl-C


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether the process was asked to stop meanwhile.

    A second request interrupts at once. Outside the main thread, where Python gives no signals,
    the answer is always no.
    """
    asked: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: object) -> None:
        now = time.monotonic()
        if asked and now - asked[0] > _ONE_REQUEST:
            raise KeyboardInterrupt
        asked.append(now)

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
