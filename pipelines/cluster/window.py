"""Parts of a run handed to a cluster a few at a time, so that the scheduler never holds many.

Only what describes a part, and what is told of it, pass through the scheduler. Two parts a worker
are under way: one is worked on, one waits beside it. A worker that joins gets parts as soon as the
window is filled again; the parts of one that is lost go to others.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from queue import Empty, Queue
from typing import Any, Protocol, Self, TypeVar
from uuid import uuid4

from ...store.errors import DsegError
from ..console.progress import Progress
from .client import ClusterOptions

__all__ = ["TOOK_DOWN", "Part", "over_cluster"]

TOOK_DOWN = (
    "it took the processes that worked on it down, each time: did they run out of memory? See the "
    "workers' logs"
)

_PER_WORKER = 2
_LOOK = 1.0  # seconds between two looks at who the workers are
_GATHERED = 10.0  # seconds in which a result, which is small, has come
_ALONE = 20.0  # seconds without a worker before that is said; one that fell takes a few to restart


class Part(Protocol):
    """A part of a run that can be split into single things."""

    def __len__(self) -> int: ...

    def singles(self) -> Sequence[Self]:
        """Return parts of one thing each that make it up."""


P = TypeVar("P", bound=Part)
R = TypeVar("R")


def over_cluster(
    client: Any,
    function: Callable[[P], R],
    parts: Iterable[P],
    options: ClusterOptions,
    progress: Progress,
) -> Iterator[tuple[P, R | None]]:
    """Yield each part with its result, as they come.

    A part that takes its worker's process down again and again (a lack of memory, a fault in a
    library) is split into single things, so that the one to blame is found and the rest is done.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Importable on the workers. It may be called a second time for a part of a lost worker.
    parts : iterable of Part
        Taken one by one, as workers have need of them.
    options : ClusterOptions
    progress : Progress
        Is told if there are no workers any more.

    Yields
    ------
    part : Part
    result : object
        What the function returned; None for a part of one thing that takes workers down.

    Raises
    ------
    DsegError
        What the function raised.
    """
    run = _Window(client, function, options, progress)
    waiting, again, suspects = iter(parts), list[P](), list[P]()
    try:
        while True:
            for _ in range(run.room()):
                one = again.pop() if again else next(waiting, None)
                if one is None:
                    break
                run.submit(one)
            alone = not run.under_way
            if alone:  # so that no other part can be blamed
                if not suspects:
                    return
                run.submit(suspects.pop())
            part, result, fell = run.next()
            if not fell:
                yield part, result
            elif len(part) > 1:
                again += part.singles()
            elif alone:
                yield part, None
            else:
                suspects.append(part)
    finally:
        run.cancel()


class _Window:
    """The parts that are under way."""

    def __init__(
        self,
        client: Any,
        function: Callable[[Any], Any],
        options: ClusterOptions,
        progress: Progress,
    ) -> None:
        self._client, self._function = client, function
        self._resources, self._progress = dict(options.resources) or None, progress
        self._own = options.workers is not None
        self._name, self._numbers = f"{function.__name__}-{uuid4().hex[:12]}", count()
        self._done: Queue[Any] = Queue()
        self._parts: dict[str, tuple[Any, Any]] = {}  # future and part, by the future's key
        self._workers, self._looked = 0, -_LOOK
        self._seen = time.monotonic()  # when there was a worker

    @property
    def under_way(self) -> int:
        return len(self._parts)

    def room(self) -> int:
        """Return how many more parts the workers can be given now."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked, self._workers = now, self._count_workers()
            if self._workers:
                self._seen = now
            elif now - self._seen >= _ALONE:
                self._say_alone()
                self._seen = now + 1e9  # once
        return max(_PER_WORKER * max(1, self._workers) - len(self._parts), 0)

    def _say_alone(self) -> None:
        if self._own:
            raise DsegError(
                "all worker processes have ended, and did not come back: did they run out of "
                "memory? Repeat the command with fewer --workers; it goes on where it stopped"
            )
        self._progress.warn("the cluster has no workers any more: the run goes on when one joins")

    def _count_workers(self) -> int:
        return len(self._client.nthreads())

    def submit(self, part: Any) -> None:
        key = f"{self._name}-{next(self._numbers)}"
        future = self._client.submit(
            self._function, part, key=key, pure=False, resources=self._resources
        )
        self._parts[key] = (future, part)
        future.add_done_callback(self._done.put)

    def next(self) -> tuple[Any, Any, bool]:
        """Return a part that has ended, its result, and whether it took its workers down."""
        from distributed import KilledWorker

        while True:
            try:
                done = self._done.get(timeout=_LOOK)
            except Empty:
                self.room()  # looks for workers
                continue
            future, part = self._parts.pop(done.key, (None, None))
            if future is None:
                continue
            try:
                return part, future.result(timeout=_GATHERED), False
            except KilledWorker:
                return part, None, True
            except TimeoutError:  # the worker was lost, and its result with it
                self.submit(part)
            except DsegError:
                raise
            except Exception as error:
                raise DsegError(f"a worker failed: {type(error).__name__}: {error}") from error
            finally:
                future.release()

    def cancel(self) -> None:
        """Forget what is under way; a part that runs already ends by itself."""
        futures = [future for future, _ in self._parts.values()]
        if futures:
            self._client.cancel(futures, force=True)
