"""Options of a connection, as ``--storage-option key=value`` gives them."""

from collections.abc import Iterable
from typing import Any

from ..errors import InputError

__all__ = ["StorageOptions", "parse_storage_options", "split_options"]

StorageOptions = tuple[tuple[str, str], ...]
"""Keys and values. The values may be secrets: they are in no message, and nothing writes them."""

RETRIES = "retries"
# Of the client that speaks HTTP; all others are of the object store.
_CLIENT = frozenset(
    {"allow_http", "allow_invalid_certificates", "connect_timeout", "http1_only", "http2_only"}
    | {"pool_idle_timeout", "pool_max_idle_per_host", "proxy_ca_certificate", "proxy_excludes"}
    | {"proxy_url", "read_timeout", "root_certificate", "timeout", "user_agent"}
)


def parse_storage_options(texts: Iterable[str]) -> StorageOptions:
    """Return the options of texts such as ``region=eu-west-1``.

    Raises
    ------
    InputError
        If one is not of that form; it is not quoted, for it may be a secret.

    Examples
    --------
    >>> parse_storage_options(["region=eu-west-1"])
    (('region', 'eu-west-1'),)
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(
                "a storage option has the form key=value, such as region=eu-west-1 (what came is "
                "not shown: it may be a secret)"
            )
        options[key.strip().lower()] = value
    return tuple(options.items())


def split_options(options: StorageOptions) -> tuple[dict[str, str], Any, Any]:
    """Return what configures the object store, the HTTP client, and its retries.

    Raises
    ------
    InputError
        If ``retries`` is no number.
    """
    store, client, retry = dict[str, str](), dict[str, Any](), dict[str, Any]()
    for key, value in options:
        if key == RETRIES:
            if not value.isdecimal():
                raise InputError("the storage option 'retries' is a whole number, such as 10")
            retry["max_retries"] = int(value)
        elif key in _CLIENT:
            client[key] = value
        else:
            store[key] = value
    return store, client, retry
