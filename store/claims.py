"""Who writes into a folder: a claim that lasts as long as a run, and goes with its process.

Runs that make different things must not write into one folder at the same time: what stands there
in the end would be of both. So each run claims its folder under a key that says what it makes;
runs of one key, such as shards, go on beside each other.

A claim is a hidden file that the run holds locked (see `file_lock`), in the folder or, of a folder
that is replaced as a whole, beside it. A lock for moments guards their coming and going, and what
all runs of a folder write into. None of these files is there when no run is. A claim that nobody
holds counts for nothing, whichever machine it names: a run that was killed on one machine of a
cluster goes on at once on another.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from .errors import DsegError, InputError
from .file_lock import NO_LOCKS, FileLock, Holder, take

__all__ = ["Claim", "claimed", "is_lock", "short_name"]

PATIENCE = 60.0  # seconds: the lock for moments is held for milliseconds, or by a stopped process
_POLL, _TRIES = 0.002, 50
_LONGEST = 120  # bytes of a folder's name within that of a lock; file systems allow 255 in all
_INSIDE = "dseg"
_CLAIM = r"(\.[0-9a-f]{16}){2}\.lock"  # of a key, and of a run
_LOCK = re.compile(rf"\.{_INSIDE}(\.lock|{_CLAIM})")

# A run goes on without a claim, too, where it may not make files beside its folder.
_NO_CLAIMS = NO_LOCKS | {errno.EACCES, errno.EPERM, errno.EROFS}


def is_lock(name: str) -> bool:
    """Say whether a file in a claimed folder is a lock, by its name."""
    return _LOCK.fullmatch(name) is not None


@dataclass(frozen=True)
class Claim:
    """A folder that is claimed.

    Parameters
    ----------
    guard : path or None
        Of the lock for moments; None where there are no locks.
    words : str
        The folder, for messages.
    """

    guard: Path | None
    words: str

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs in this folder waiting, for a moment.

        Raises
        ------
        DsegError
            If another process does not let go of the lock.
        """
        with nullcontext() if self.guard is None else _moment(self.guard, self.words):
            yield


@contextmanager
def claimed(
    folder: Path,
    key: str | None,
    doing: str,
    *,
    beside: bool = False,
    tidy: Callable[[], object] = lambda: None,
    warn: Callable[[str], object] = lambda text: None,
) -> Iterator[Claim]:
    """Claim a folder for a run.

    Parameters
    ----------
    folder : path
        Made if need be, and removed in the end if nothing is in it; with ``beside`` its parent.
    key : str or None
        What the run makes: runs of one key may write at the same time. None: no other may.
    doing : str
        What the run is, for the message to another one, such as "dseg fit".
    beside : bool
        Whether the folder is replaced as a whole, so that nothing can be kept in it.
    tidy : callable
        Removes what killed runs left. Called if no other run is at work here.
    warn : callable
        Told where there are no locks, and so no claims.

    Raises
    ------
    InputError
        If a run of another key is at work in the folder.
    """
    words, home = f"'{folder}'", folder.absolute()
    where, name = (home.parent, short_name(home.name)) if beside else (home, _INSIDE)
    new = [path for path in (where, *where.parents) if not path.exists()]
    guard = where / f".{name}.lock"
    try:
        mine = _made_and_entered(guard, key, doing, words, tidy)
        if mine is None:
            warn(
                f"locks are not available at '{where}', so other runs are not kept from "
                f"writing into {words} at the same time: make sure that none does"
            )
        try:
            yield Claim(None if mine is None else guard, words)
        finally:
            if mine is not None:
                with _moment(guard, words, last_removes=True):
                    mine.release()
    finally:
        for path in new:
            with suppress(OSError):  # something is in it
                path.rmdir()


def short_name(name: str) -> str:
    """Return a folder's name, or what stands for it in names of hidden files where it is long."""
    long = len(os.fsencode(name)) > _LONGEST
    return sha256(os.fsencode(name)).hexdigest()[:32] if long else name


@contextmanager
def _moment(guard: Path, words: str, *, last_removes: bool = False) -> Iterator[None]:
    deadline = time.monotonic() + PATIENCE
    while (lock := take(guard)) is None:
        if time.monotonic() >= deadline:
            held = ", ".join(str(Holder.read(path)) for path in _claims(guard))
            raise DsegError(
                f"waited {PATIENCE:.0f} s for {words}, locked by {held or Holder()}: is that "
                "process suspended? End it or resume it, then repeat this command"
            )
        time.sleep(_POLL)
    try:
        yield
    finally:
        # Who waits for a file that is removed sees that its name is gone, and makes it anew.
        lock.release(remove=last_removes and not _claims(guard))


def _made_and_entered(
    guard: Path, key: str | None, doing: str, words: str, tidy: Callable[[], object]
) -> FileLock | None:
    """Make the folder and claim it, again where a run that ends has just removed it, empty."""
    for left in reversed(range(_TRIES)):
        try:
            # `mkdir` itself says that the folder exists where it is removed while it looks
            guard.parent.mkdir(parents=True, exist_ok=True)
            return _enter(guard, key, doing, words, tidy)
        except (FileNotFoundError, FileExistsError):
            if not left:
                raise
            time.sleep(_POLL)
    return None


def _enter(
    guard: Path, key: str | None, doing: str, words: str, tidy: Callable[[], object]
) -> FileLock | None:
    """Claim a folder unless another run has; return the lock to hold, None if there are none."""
    kind = sha256((uuid4().hex if key is None else key).encode()).hexdigest()[:16]
    mine = guard.with_name(f"{guard.name.removesuffix('.lock')}.{kind}.{uuid4().hex[:16]}.lock")
    try:
        with _moment(guard, words, last_removes=True):
            others = [path for path in _claims(guard) if _is_live(path)]
            in_the_way = [path for path in others if path.name.split(".")[-3] != kind]
            if in_the_way:
                raise InputError(
                    f"{Holder.read(in_the_way[0])} is writing into {words}: wait until it "
                    "has finished, or give another folder"
                )
            if not others:
                tidy()
            lock = take(mine, doing)
            assert lock is not None  # nobody else knows its name
    except OSError as error:
        if error.errno not in _NO_CLAIMS:
            raise
        return None
    return lock


def _claims(guard: Path) -> list[Path]:
    form = re.compile(re.escape(guard.name.removesuffix(".lock")) + _CLAIM)
    with os.scandir(guard.parent) as found:  # names alone: there may be many masks
        return [guard.with_name(one.name) for one in found if form.fullmatch(one.name)]


def _is_live(claim: Path) -> bool:
    """Say whether a claim's process lives; remove the claim if not."""
    lock = take(claim)
    if lock is not None:
        lock.release()
    return lock is None
