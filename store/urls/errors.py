"""What an object store or a server answered, in plain words.

The libraries' own messages are not passed on: they quote requests and answers, in which keys and
tokens may stand.
"""

import re

from ..errors import DsegError

__all__ = ["UrlError", "in_words"]

_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_STATUS = re.compile(r"\bstatus code: (\d{3})")


class UrlError(DsegError):
    """An object cannot be read or written: the server refuses, fails, or does not answer."""


def no_bucket(error: Exception) -> bool:
    """Whether an error says that the bucket, not only an object in it, does not exist."""
    return _NO_BUCKET.search(str(error)) is not None


def in_words(error: Exception) -> str:
    """Return what is wrong and what to do about it, without quoting the answer.

    Examples
    --------
    >>> in_words(Exception("GET x - Server returned non-2xx status code: 503 Slow Down: <Error/>"))
    'the server answers 503: try again later, then repeat this command'
    """
    text = str(error)
    if no_bucket(error):
        return "there is no such bucket: is its name right?"
    status = _STATUS.search(text)
    denied = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
    if denied or (status is not None and status[1] in ("401", "403")):
        return (
            "access is denied: are the credentials right (environment or --storage-option), and "
            "may they do this?"
        )
    if type(error).__name__ == "NotSupportedError":
        return "the server does not support this"
    if status is not None:
        return f"the server answers {status[1]}: try again later, then repeat this command"
    if "169.254." in text or "metadata.google" in text:
        return (
            "there are no credentials: give them in the environment or by --storage-option (for "
            "what is public, --storage-option skip_signature=true)"
        )
    return "the connection failed: are the address and the network right? Then repeat this command"
