"""Who writes into a folder: a claim that lasts as long as a run, and goes with its process.

Runs that make different things must not write into one folder at the same time: what stands there
in the end would be of both. So each run claims its folder under a key that says what it makes;
runs of one key, such as shards, go on beside each other.

A claim is a hidden file that the run holds locked (the operating system's lock, which ends with the
process, however that ends), in the folder or, of a folder that is replaced as a whole, beside it.
A lock for moments guards their coming and going, and what all runs of a folder write into. None of
these files is there when no run is.
"""

import errno
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from filelock import lock_descriptor, unlock_descriptor

from .errors import DsegError, InputError

__all__ = ["Claim", "claimed", "is_lock", "short_name"]

PATIENCE = 60.0  # seconds: the lock for moments is held for milliseconds, or by a stopped process
_POLL, _TRIES = 0.002, 50
_LONGEST = 120  # bytes of a folder's name within that of a lock; file systems allow 255 in all
_INSIDE = "dseg"
_LOCK = re.compile(r"\.dseg(\.[0-9a-f]{16}){0,2}\.lock")

# What comes where a file system has no locks, or files cannot be made beside a folder.
_NO_LOCKS = {
    errno.EACCES,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EROFS,
}


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
                f"no lock can be had at '{where}', so nothing keeps another run from writing into "
                f"{words} at the same time: see to that yourself"
            )
        try:
            yield Claim(None if mine is None else guard, words)
        finally:
            if mine is not None:
                _leave(guard, mine, words)
    finally:
        for path in new:
            with suppress(OSError):  # something is in it
                path.rmdir()


def short_name(name: str) -> str:
    """Return a folder's name, or what stands for it in names of hidden files where it is long."""
    long = len(os.fsencode(name)) > _LONGEST
    return sha256(os.fsencode(name)).hexdigest()[:32] if long else name


def _locked(path: Path, patience: float) -> int | None:
    """Return the descriptor of a file, made if need be, that is locked; None if another has it."""
    deadline = time.monotonic() + patience
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            locked = lock_descriptor(file, blocking=False)
            if locked and os.fstat(file).st_nlink:
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if locked:  # who had it has removed it: what is under its name now is another file
            continue
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL)


def _release(file: int) -> None:
    unlock_descriptor(file)  # a process that was forked meanwhile may have it open, too
    os.close(file)


@contextmanager
def _moment(guard: Path, words: str) -> Iterator[None]:
    file = _locked(guard, PATIENCE)
    if file is None:
        held = ", ".join(_holder(path) for path in _claims(guard)) or "another process"
        raise DsegError(
            f"waited {PATIENCE:.0f} s for {words}, held by {held}: is that process stopped? End it "
            "or let it go on, then run this again"
        )
    try:
        yield
    finally:
        _release(file)


def _made_and_entered(
    guard: Path, key: str | None, doing: str, words: str, tidy: Callable[[], object]
) -> tuple[Path, int] | None:
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
) -> tuple[Path, int] | None:
    """Claim a folder unless another run has; return the lock to hold, None if there are none."""
    kind = sha256((uuid4().hex if key is None else key).encode()).hexdigest()[:16]
    mine = guard.with_name(f"{guard.name.removesuffix('.lock')}.{kind}.{uuid4().hex[:16]}.lock")
    try:
        with _moment(guard, words):
            others = [path for path in _claims(guard) if _is_live(path)]
            in_the_way = [path for path in others if path.name.split(".")[-3] != kind]
            if in_the_way:
                raise InputError(
                    f"{_holder(in_the_way[0])} is writing into {words}: wait until it has ended, "
                    "or give another folder"
                )
            if not others:
                tidy()
            file = _locked(mine, 0)
            assert file is not None  # nobody else knows its name
            facts = {"host": socket.gethostname(), "pid": os.getpid(), "doing": doing}
            os.write(file, json.dumps({**facts, "since": time.time()}).encode())
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return mine, file


def _leave(guard: Path, mine: tuple[Path, int], words: str) -> None:
    """Give a claim up; the last one removes the lock for moments, too."""
    with _moment(guard, words):
        _remove(*mine)
        last = not _claims(guard)
        if last:
            # Who waits for this file sees that its name is gone, and makes it anew.
            with suppress(OSError):
                guard.unlink()
    if last and os.name == "nt":  # which removes no open files, nor one that another run opened
        with suppress(OSError):
            guard.unlink()


def _remove(lock: Path, file: int) -> None:
    """Remove a lock's file while it is held, and release it."""
    with suppress(OSError):
        lock.unlink()
    _release(file)
    if lock.exists():  # Windows removes no open files
        with suppress(OSError):
            lock.unlink()


def _claims(guard: Path) -> list[Path]:
    name = re.escape(guard.name.removesuffix(".lock"))
    form = re.compile(rf"{name}\.[0-9a-f]{{16}}\.[0-9a-f]{{16}}\.lock")
    with os.scandir(guard.parent) as found:  # names alone: there may be many masks
        return [guard.with_name(one.name) for one in found if form.fullmatch(one.name)]


def _is_live(claim: Path) -> bool:
    """Say whether a claim's process lives; remove the claim if not."""
    file = _locked(claim, 0)
    if file is None:
        return True
    _remove(claim, file)
    return False


def _holder(claim: Path) -> str:
    """Return in words whose a claim is, as far as that can be read."""
    try:
        facts = json.loads(claim.read_text(encoding="utf-8"))
        since = time.time() - float(facts["since"])
        return (
            f"process {facts['pid']} on {facts['host']} ({facts['doing']}, for {since:.0f} s now)"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
