"""The processes that train together: one, or as many as ``torchrun`` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from ..extract.devices import choose_device

__all__ = ["Processes", "processes"]


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
        """Whether this one writes and talks."""
        return self.rank == 0

    def share(self, batch_size: int) -> tuple[int, int]:
        """Return where this process's part of a batch begins, and its length."""
        low, high = (batch_size * r // self.world for r in (self.rank, self.rank + 1))
        return low, high - low

    def agreed(self, value: float) -> float:
        """Return the first process's value in all of them."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float32, device=self.device)
        distributed.broadcast(told, 0)
        return float(told)

    def wait(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def processes(device: str | None) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did.

    Parameters
    ----------
    device : str, optional
        By default CUDA (one GPU a process), else MPS, else the CPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, choose_device(device))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, chosen)
    finally:
        distributed.destroy_process_group()
