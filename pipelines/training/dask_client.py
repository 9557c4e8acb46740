"""A Dask cluster that reads beside the data, found by its address or its scheduler's file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...store.errors import DsegError, InputError

__all__ = ["cluster"]


@contextmanager
def cluster(scheduler: str | None) -> Iterator[Any]:
    """Yield a client of the cluster; None without one.

    Parameters
    ----------
    scheduler : str, optional
        Its address, or its file.

    Raises
    ------
    DsegError
        If none answers, or it has no workers.
    """
    if scheduler is None:
        yield None
        return
    from distributed import Client

    address = _address(scheduler)
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise DsegError(
            f"no Dask scheduler answers at '{scheduler}' within 10 s. Give an address such as "
            "tcp://host:8786, or the file that `dask scheduler --scheduler-file` writes"
        ) from error
    with client:
        if not client.nthreads():
            raise DsegError(
                f"the Dask scheduler at '{scheduler}' has no workers: start at least one"
            )
        yield client


def _address(scheduler: str) -> str:
    """Return a scheduler's address, if need be from its file."""
    if not Path(scheduler).is_file():
        return scheduler
    try:
        return str(json.loads(Path(scheduler).read_text())["address"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{scheduler}' is not a scheduler file: give the file that `dask scheduler "
            "--scheduler-file` writes, or an address such as tcp://host:8786"
        ) from error
