"""Claims: which run may write into a folder, for as long as its process lives.

Runs that make different things must not write into one folder at the same time: the result would
be a mixture. So each run claims its folder under a key that says what it makes; runs with the same
key, such as shards, may write at the same time.

A claim is a hidden file that the run holds locked (see `file_lock`), in the folder or, if the
folder is replaced as a whole, in its parent. A second lock, the guard, is held for milliseconds
only: while claims are added and removed, and while a run writes a file that all runs of the folder
share. When no run is active, none of these files exists. A claim file that no process holds is
ignored, whatever machine it names: a run that was killed on one machine of a cluster can go on at
once on another.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from .errors import DsegError, InputError
from .failed_writes import writing
from .file_lock import NO_LOCKS, FileLock, Holder, try_lock

__all__ = ["Claim", "active_run", "claimed", "is_lock", "locks_beside", "short_name"]

PATIENCE = 60.0  # seconds; the guard is held for milliseconds, unless its process was stopped
_POLL, _TRIES = 0.002, 50
# Of a folder's name within that of a lock; file systems allow 255 in all.
_MAX_NAME_BYTES = 120
_LOCK_NAME = "dseg"
_CLAIM = r"(\.[0-9a-f]{16}){2}\.lock"  # of a key, and of a run
_PIECE = r"\.[0-9a-f]{16}\.busy"  # of a piece of work
_LOCK = re.compile(rf"\.{_LOCK_NAME}(\.lock|{_CLAIM}|{_PIECE})")

# A run also goes on without a claim where it may not create files in the parent folder.
_NO_CLAIMS = NO_LOCKS | {errno.EACCES, errno.EPERM, errno.EROFS}


def is_lock(name: str) -> bool:
    """Whether a file in a claimed folder is a lock, by its name."""
    return _LOCK.fullmatch(name) is not None


@dataclass(frozen=True)
class Claim:
    """A claimed folder.

    Parameters
    ----------
    guard : path or None
        File of the guard lock; None if the file system has no locks.
    where : str
        The folder in quotes, for messages.
    """

    guard: Path | None
    where: str

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the guard: other runs in this folder wait meanwhile, so keep it short.

        Raises
        ------
        DsegError
            If another process does not release the guard in time, or it cannot be made.
        """
        with ExitStack() as held:
            if self.guard is not None:
                with writing(self.guard):
                    held.enter_context(_hold_guard(self.guard, self.where))
            yield

    def take(self, item: str) -> Callable[[], None] | None:
        """Take a piece of the work, so that other runs of the same key leave it out.

        Parameters
        ----------
        item : str
            Its name, such as an image's.

        Returns
        -------
        callable or None
            What releases it; None if another run has it.

        Raises
        ------
        WriteError
            If the lock cannot be made.
        """
        if self.guard is None:
            return lambda: None
        digest = sha256(os.fsencode(item)).hexdigest()[:16]
        path = self.guard.with_name(f"{self.guard.name.removesuffix('.lock')}.{digest}.busy")
        with writing(path):
            lock = try_lock(path)
        return None if lock is None else lock.release


@contextmanager
def claimed(
    folder: Path,
    key: str | None,
    doing: str,
    *,
    in_parent: bool = False,
    tidy: Callable[[], object] = lambda: None,
    warn: Callable[[str], object] = lambda text: None,
) -> Iterator[Claim]:
    """Claim a folder for a run.

    Parameters
    ----------
    folder : path
        Created if need be, and removed in the end if it is empty; with ``in_parent`` its parent.
    key : str or None
        What the run makes: runs with the same key may write at the same time. None: no other run
        may.
    doing : str
        What the run does, such as "dseg fit": for the message that another run prints.
    in_parent : bool
        Keep the lock files in the parent folder, because the folder itself is replaced as a whole.
    tidy : callable
        Removes what killed runs left. Called if no other run is active in the folder.
    warn : callable
        Called with a message if the file system has no locks, and so no claims.

    Raises
    ------
    InputError
        If a run with another key is active in the folder.
    WriteError
        If there is no room for the lock files, or they cannot be made for another reason.
    """
    where, absolute = f"'{folder}'", folder.absolute()
    parent, name = (
        (absolute.parent, short_name(absolute.name)) if in_parent else (absolute, _LOCK_NAME)
    )
    created = [path for path in (parent, *parent.parents) if not path.exists()]
    guard = parent / f".{name}.lock"
    try:
        with writing(folder):
            claim = _claim_in_new_folder(guard, key, doing, where, tidy)
        if claim is None:
            warn(
                f"locks are not available at '{parent}', so other runs are not kept from "
                f"writing into {where} at the same time: make sure that none does"
            )
        try:
            yield Claim(None if claim is None else guard, where)
        finally:
            if claim is not None:
                _give_back(claim, guard, where)
    finally:
        for path in created:
            with suppress(OSError):  # something is in it
                path.rmdir()


def short_name(name: str) -> str:
    """Return a folder's name for use within hidden file names: a hash of it if it is long."""
    is_long = len(os.fsencode(name)) > _MAX_NAME_BYTES
    return sha256(os.fsencode(name)).hexdigest()[:32] if is_long else name


def active_run(folder: Path) -> Holder | None:
    """Return a process that has claimed a folder, in it or in its parent; None if there is none.

    Nothing is changed.
    """
    beside = folder.absolute().with_name(f".{short_name(folder.absolute().name)}.lock")
    for guard in (folder.absolute() / f".{_LOCK_NAME}.lock", beside):
        for claim in _claims(guard) if guard.parent.is_dir() else ():
            try:
                lock = try_lock(claim)
            except OSError:  # a file system without locks, or that may only be read
                continue
            if lock is None:
                return Holder.read(claim)
            lock.release(remove=False)
    return None


def locks_beside(folder: Path) -> list[Path]:
    """Return the lock files of a folder that lie in its parent."""
    guard = folder.absolute().with_name(f".{short_name(folder.absolute().name)}.lock")
    if not guard.parent.is_dir():
        return []
    more = [guard] if guard.exists() else []
    return [*_claims(guard), *_files(guard, _PIECE), *more]


@contextmanager
def _hold_guard(guard: Path, where: str, *, last_removes: bool = False) -> Iterator[None]:
    deadline = time.monotonic() + PATIENCE
    while (lock := try_lock(guard)) is None:
        if time.monotonic() >= deadline:
            held = ", ".join(str(Holder.read(path)) for path in _claims(guard))
            raise DsegError(
                f"waited {PATIENCE:.0f} s for {where}, locked by {held or Holder()}: is that "
                "process suspended? End it or resume it, then repeat this command"
            )
        time.sleep(_POLL)
    try:
        yield
    finally:
        # Safe although others wait: `try_lock` checks that the name still leads to the locked file,
        # and creates the file again if not.
        lock.release(remove=last_removes and not _claims(guard))


def _claim_in_new_folder(
    guard: Path, key: str | None, doing: str, where: str, tidy: Callable[[], object]
) -> FileLock | None:
    """Create the folder and claim it; try again if a run that ends has just removed it."""
    for tries_left in reversed(range(_TRIES)):
        try:
            # Despite `exist_ok`, mkdir raises FileExistsError if the folder exists when it tries
            # and another run removes it before it checks.
            guard.parent.mkdir(parents=True, exist_ok=True)
            return _take_claim(guard, key, doing, where, tidy)
        except (FileNotFoundError, FileExistsError):
            if not tries_left:
                raise
            time.sleep(_POLL)
    return None


def _take_claim(
    guard: Path, key: str | None, doing: str, where: str, tidy: Callable[[], object]
) -> FileLock | None:
    """Claim a folder; return the lock to hold, None if the file system has no locks."""
    key_digest = sha256((uuid4().hex if key is None else key).encode()).hexdigest()[:16]
    claim = guard.with_name(
        f"{guard.name.removesuffix('.lock')}.{key_digest}.{uuid4().hex[:16]}.lock"
    )
    try:
        with _hold_guard(guard, where, last_removes=True):
            others = [path for path in _claims(guard) if _is_live(path)]
            conflicting = [path for path in others if path.name.split(".")[-3] != key_digest]
            if conflicting:
                raise InputError(
                    f"{Holder.read(conflicting[0])} is writing into {where}: wait until it "
                    "has finished, or give another folder"
                )
            if not others:
                for piece in _files(guard, _PIECE):
                    piece.unlink(missing_ok=True)
                tidy()
            lock = try_lock(claim, doing)
            assert lock is not None  # its name is random, so nobody else can hold it
    except OSError as error:
        if error.errno not in _NO_CLAIMS:
            raise
        return None
    return lock


def _give_back(claim: FileLock, guard: Path, where: str) -> None:
    try:
        with _hold_guard(guard, where, last_removes=True):
            claim.release()
    except OSError:  # no room for the guard: what ended the run must be told, not this
        claim.release()


def _claims(guard: Path) -> list[Path]:
    return _files(guard, _CLAIM)


def _files(guard: Path, form: str) -> list[Path]:
    """Return the files beside a guard whose names are its own, continued by a form."""
    pattern = re.compile(re.escape(guard.name.removesuffix(".lock")) + form)
    with os.scandir(guard.parent) as found:  # names only: the folder may hold a million masks
        return [guard.with_name(one.name) for one in found if pattern.fullmatch(one.name)]


def _is_live(claim: Path) -> bool:
    """Whether the process of a claim lives; remove the claim if not."""
    lock = try_lock(claim)
    if lock is not None:
        lock.release()
    return lock is None
