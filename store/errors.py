"""What can go wrong, each kind a type of its own.

Every message is for the person who typed the command: what came, what was expected, what to do.
The command line prints the message of a `DsegError` and exits with its ``exit_code``.
"""

__all__ = [
    "ANEW",
    "ELSEWHERE",
    "ChunkCorruptError",
    "DsegError",
    "InputError",
    "NoStoreError",
    "SpecMismatchError",
    "StoreError",
    "VERIFY",
    "WriteError",
]


ELSEWHERE = "Extract into another folder"
ANEW = "Extract again with --overwrite, or into another folder"
"""What to do about a store that is damaged as a whole: where one cannot tell that it is ours, dseg
does not overwrite it."""

VERIFY = "Repeat the same extract command with --verify"
"""What to do about an image of a store that is damaged."""


class DsegError(Exception):
    """Base of every error that dseg raises on purpose; its text is meant to be read as it is."""

    exit_code = 1


class InputError(DsegError, ValueError):
    """What the caller gave cannot be used: a wrong path, a wrong value, data that do not match."""

    exit_code = 2


class WriteError(DsegError):
    """Nothing can be written: a disk is full or fails, is read-only, a permission is missing."""


class StoreError(DsegError):
    """A feature store cannot be read or written as asked."""


class NoStoreError(StoreError):
    """What was given for a feature store is none: a wrong call, as with labels before stores."""

    exit_code = 2


class SpecMismatchError(StoreError):
    """Two feature specs differ: features of one must not be mixed with features of the other."""

    exit_code = 2


class ChunkCorruptError(StoreError):
    """Stored bytes do not match their checksum, or a chunk that should be there is missing."""
