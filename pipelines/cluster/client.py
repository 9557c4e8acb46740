"""The Dask cluster of a run: one that is there already, or processes of this machine."""

import logging
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ... import __version__
from ...store.errors import DsegError, InputError
from ...store.texts import read_json
from ..console.progress import Progress

__all__ = ["ClusterOptions", "cluster"]

_PATIENCE = "10s"  # for the scheduler's first answer


@dataclass(frozen=True)
class ClusterOptions:
    """Which processes share the work of a run.

    Parameters
    ----------
    scheduler : str, optional
        The address of a Dask scheduler, or its file.
    workers : int, optional
        Instead: start so many processes on this machine.
    resources : mapping
        What a worker must offer, and how much of it each part of the work takes:
        ``dask worker --resources``.
    """

    scheduler: str | None = None
    workers: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def taken_from(cls, given: MutableMapping[str, Any]) -> Self:
        """Take the values of `options.cluster_options` out of those of all options."""
        return cls(given.pop("scheduler"), given.pop("workers"), given.pop("resources", {}))

    @property
    def asked(self) -> bool:
        """Whether there is to be a cluster."""
        return self.scheduler is not None or self.workers is not None


@contextmanager
def cluster(options: ClusterOptions, progress: Progress) -> Iterator[Any]:
    """Yield a client of the cluster; None without one.

    Parameters
    ----------
    options : ClusterOptions
    progress : Progress
        Is told of workers of another version of dseg.

    Raises
    ------
    InputError
        If a scheduler and a number of workers are given, or resources without a scheduler.
    DsegError
        If no scheduler answers, or its workers cannot run dseg.
    """
    if options.scheduler is not None and options.workers is not None:
        raise InputError(
            "--workers starts processes on this machine, --scheduler uses those of a cluster: give "
            "one of the two"
        )
    if options.resources and options.scheduler is None:
        raise InputError("--resources is what workers of a cluster offer: give its --scheduler")
    if not options.asked:
        yield None
        return
    with ExitStack() as stack:
        if options.workers is not None:
            address = stack.enter_context(_own_cluster(options.workers))
        else:
            address = _address(str(options.scheduler))
        client = stack.enter_context(_client(address, options.scheduler or address))
        _check_workers(client, options, progress)
        yield client


@contextmanager
def _own_cluster(workers: int) -> Iterator[str]:
    """Yield the address of a scheduler with workers of this machine, which share its cores."""
    from distributed import LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,  # a part at a time; the network's threads are its own
        processes=True,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # of its HTTP server, which stays
        silence_logs=logging.ERROR,
        env={"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))},
    ) as running:
        yield running.scheduler_address


@contextmanager
def _client(address: str, name: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise DsegError(
            f"no Dask scheduler answers at '{name}' within 10 s. Give an address such as "
            "tcp://host:8786, or the file that `dask scheduler --scheduler-file` writes"
        ) from error
    with client:
        yield client


def _check_workers(client: Any, options: ClusterOptions, progress: Progress) -> None:
    """Refuse a cluster without workers, or whose workers have no dseg; warn of other versions."""
    name = options.scheduler or "this machine"
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise DsegError(f"the Dask scheduler at '{name}' has no workers: start at least one")
    offered = {key for worker in workers.values() for key in worker["resources"]}
    lacking = sorted(options.resources.keys() - offered)
    if lacking:
        raise DsegError(
            f"no worker of the Dask scheduler at '{name}' offers '{lacking[0]}': start them with "
            f"`dask worker --resources {lacking[0]}=1`, or leave out --resources"
        )
    found = client.run(version_here, on_error="return")
    missing = sorted(at for at, said in found.items() if not isinstance(said, str))
    if missing:
        raise DsegError(
            f"the worker at {missing[0]} cannot import dseg ({found[missing[0]]!r}): install dseg "
            f"{__version__} in the environment of each worker"
        )
    others = {at: said for at, said in found.items() if said != __version__}
    if others:
        at = min(others)
        progress.warn(
            f"{len(others)} of {len(found)} workers have another version of dseg, such as "
            f"{others[at]} at {at}; here it is {__version__}"
        )


def version_here() -> str:
    """Return the version of dseg in this process."""
    return __version__


def _address(scheduler: str) -> str:
    """Return a scheduler's address, if need be from its file."""
    if not Path(scheduler).is_file():
        return scheduler
    try:
        return str(read_json(Path(scheduler))["address"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{scheduler}' is not a scheduler file: give the file that `dask scheduler "
            "--scheduler-file` writes, or an address such as tcp://host:8786"
        ) from error
