"""Run a network on images so that the output of each does not depend on the others.

Libraries choose the order of a sum by the shape of their input and the number of threads, and
another order rounds otherwise. So each pass has equally many images, the last one filled up, and on
a CPU one thread of its own: which images those are, in which place, and how many threads run does
not matter then. Passes at the same time are also at least as fast as one pass by many threads.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..extract.networks.precision import at_precision

__all__ = ["Passes"]

_ON_CPU = 2  # images in a pass: nearly as fast, each, as more
_ON_GPU = 16


class Passes:
    """A network from input to output, in passes.

    Parameters
    ----------
    network : nn.Module
        Takes x_t (N, C, H, W) and timesteps (1,).
    device : torch.device
        Where it is.
    precision : str
        In which it computes.
    memory_format : torch.memory_format
        Of its input.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        precision: str,
        memory_format: torch.memory_format,
    ) -> None:
        self._network, self._device = network, device
        self._precision, self._format = precision, memory_format

    @property
    def batch_size(self) -> int:
        """How many images it is best given: a pass for each thread; on a GPU 16."""
        return _ON_CPU * torch.get_num_threads() if self._device.type == "cpu" else _ON_GPU

    def __call__(self, x: Tensor, t: float, at_once: int) -> Tensor:
        """Return the raw output, float32, for x_t (N, C, H, W) at a timestep.

        Parameters
        ----------
        x : tensor of shape (N, C, H, W), float32
        t : float
        at_once : int
            Images in a pass, elsewhere than on a CPU.
        """
        number = _ON_CPU if self._device.type == "cpu" else at_once
        seen = torch.tensor([t], device=self._device)  # one for all: also computed as for one
        parts = torch.split(x, number)
        filled = [_filled(part, number) for part in parts]
        found = self._each(filled, seen)
        return torch.cat([one[: len(part)] for one, part in zip(found, parts, strict=True)])

    def _each(self, parts: Sequence[Tensor], seen: Tensor) -> list[Tensor]:
        if self._device.type != "cpu":
            return [self._pass(part, seen) for part in parts]
        with _one_thread_each() as threads:
            workers = min(threads, len(parts))
            if workers == 1:
                return [self._pass(part, seen) for part in parts]
            with ThreadPoolExecutor(workers, "dseg-draw") as pool:
                return list(pool.map(lambda part: self._pass(part, seen), parts))

    @torch.inference_mode()
    def _pass(self, x: Tensor, seen: Tensor) -> Tensor:
        if x.device.type == "cpu":
            torch.set_num_threads(1)  # of this thread
        with at_precision(self._precision, self._device):
            output: Tensor = self._network(x.contiguous(memory_format=self._format), seen)
        return output.float()


def _filled(part: Tensor, number: int) -> Tensor:
    """Return images, filled up to a number with copies of the first."""
    lacking = number - len(part)
    return torch.cat([part, part[:1].expand(lacking, -1, -1, -1)]) if lacking else part


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Have operations run in the thread that calls them; yield how many threads they had."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
