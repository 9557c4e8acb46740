"""The processes that train together: one, or as many as ``torchrun`` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from ...extract.networks.devices import choose_device
from ...store.errors import InputError

__all__ = ["Processes", "is_first", "processes"]


@dataclass(frozen=True)
class Processes:
    """One process among those that train together.

    Parameters
    ----------
    rank, world : int
        Its number, and how many there are.
    device : torch.device
        Where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files and messages."""
        return self.rank == 0

    def share(self, batch_size: int) -> tuple[int, int]:
        """Return where this process's part of a batch begins, and its length."""
        low, high = (batch_size * r // self.world for r in (self.rank, self.rank + 1))
        return low, high - low

    def agreed(self, *values: float) -> tuple[float, ...]:
        """Return the largest of each value over all processes, the same in all of them."""
        if self.world == 1:
            return values
        largest = torch.tensor(values, dtype=torch.float64)  # by the CPU: no wait for a GPU's work
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return tuple(largest.tolist())

    def gathered(self, value: Any) -> list[Any]:
        """Return every process's value, in the order of their numbers."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait for the others."""
        self.agreed(0.0)


def is_first() -> bool:
    """Say whether this process is the one that writes messages."""
    return "LOCAL_RANK" not in os.environ or int(os.environ.get("RANK", "0")) == 0


@contextmanager
def processes(device: str | None) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did.

    Parameters
    ----------
    device : str, optional
        By default CUDA (one GPU a process), else MPS, else the CPU.

    Raises
    ------
    InputError
        If there is no such device, or not one for each process.
    """
    rank, local, world = (
        int(os.environ.get(name, one))
        for name, one in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))
    )
    if world == 1 or "LOCAL_RANK" not in os.environ:  # others than torchrun set WORLD_SIZE too
        yield Processes(0, 1, choose_device(device))
        return
    chosen = _device_of(local, device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, chosen)
    finally:
        distributed.destroy_process_group()


def _device_of(local: int, name: str | None) -> torch.device:
    """Return the device of a process that has a number among those of its machine."""
    chosen = choose_device(name)
    if chosen.type == "cuda":
        if local >= torch.cuda.device_count():
            raise InputError(
                "torchrun started more processes than there are GPUs "
                f"({torch.cuda.device_count()} here): use one process per GPU "
                "(--nproc-per-node), or --device cpu"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    elif chosen.type == "mps":
        raise InputError(
            "several processes cannot share one MPS device: leave out torchrun, or use --device cpu"
        )
    return chosen
