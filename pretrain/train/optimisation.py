"""A network that is trained: its optimiser, its averaged weights, the state from which it goes on.

What is kept of a training is the exponential moving average of the weights.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...store.errors import DsegError
from .processes import Processes

__all__ = ["Optimisation", "mixed_seed"]

RATE_FACTOR = "rate_factor"
"""Key of a group of parameters: by what its learning rate differs from that of a step."""


class Optimisation:
    """A network, its average and its optimiser, AdamW.

    Parameters
    ----------
    network : nn.Module
        Is trained in place, on the processes' device.
    here : Processes
    precision : torch.dtype
        float32, or what autocast computes in.
    weight_decay, clip : float
        Of AdamW; largest norm of the gradient.
    ema_decay : float
        Largest decay of the averaged weights.
    average_buffers : bool
        Average the buffers too: a batch normalisation's statistics belong to its weights.
    groups : sequence of dict, optional
        Groups of parameters as ``torch.optim`` takes them, with `RATE_FACTOR` where a group learns
        slower; by default one of all.

    Attributes
    ----------
    network : nn.Module
    done : int
        Steps taken.
    """

    def __init__(
        self,
        network: Any,
        here: Processes,
        precision: torch.dtype = torch.float32,
        *,
        weight_decay: float,
        ema_decay: float,
        clip: float,
        average_buffers: bool = False,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        device = here.device
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
        self.network = network.to(device, memory_format=layout).requires_grad_(True).train()
        self.here, self.precision = here, precision
        self._autocast = (device.type, precision, precision != torch.float32)
        self._average = AveragedModel(
            self.network, multi_avg_fn=_average(ema_decay), use_buffers=average_buffers
        )
        self._optimiser = torch.optim.AdamW(
            groups or self.network.parameters(),
            weight_decay=weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self._clip = clip
        self.done = 0

    @property
    def averaged(self) -> Any:
        """The network with averaged weights, in evaluation mode."""
        return self._average.module.eval()

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes."""
        device, dtype, enabled = self._autocast
        return torch.autocast(device, dtype, enabled=enabled)

    def descend(self, loss: Tensor, rate: float) -> None:
        """Take one step down the gradient of a loss, at a learning rate."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get(RATE_FACTOR, 1.0)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._average.update_parameters(self.network)
        self.done += 1

    def is_finite(self) -> bool:
        """Say whether all weights and their averages are numbers still."""
        weights = [*self.network.parameters(), *self._average.module.parameters()]
        return bool(torch.stack([weight.detach().isfinite().all() for weight in weights]).all())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that a later run needs to go on: tensors by name, and plain JSON values."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self._average.state_dict().items()}
        for number, moments in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        kept = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        precision = str(self.precision).removeprefix("torch.")
        scaler = self._scaler.state_dict()
        return kept, {"step": self.done, "scaler": scaler, "precision": precision}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        DsegError
            If it is another network's.
        """
        try:
            self._restore(tensors, values)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # of torch
            raise DsegError(
                "the saved state does not belong to this run: "
                f"{textwrap.shorten(str(error), 200)}. Start again with --overwrite"
            ) from error

    def _restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:

        def under(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(under("network."))
        self._average.load_state_dict(under("average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in under("optimiser.").items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = value
        plain = self._optimiser.state_dict()
        self._optimiser.load_state_dict({**plain, "state": moments})
        # A fused optimiser pairs values by their place in memory: moments must lie there as their
        # weights do, for instance with the channel axis last.
        for weight, kept in self._optimiser.state.items():
            for name, moment in kept.items():
                if moment.shape == weight.shape:
                    kept[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)
        if values["scaler"] and self._scaler.is_enabled():  # the precision may change
            self._scaler.load_state_dict(dict(values["scaler"]))
        self.done = int(values["step"])


def mixed_seed(*numbers: int) -> int:
    """Return a seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _average(largest: float) -> Callable[[Any, Any, Any], None]:
    """Return the update of an average that follows closely at first.

    The decay after n updates is (1 + n) / (10 + n), the usual warm-up: of a short run the average
    is over its last tenth, not over its random beginning.
    """

    @torch.no_grad()
    def update(averages: Any, current: Any, n_averaged: Any) -> None:
        n = float(n_averaged)
        decay = min(largest, (1 + n) / (10 + n))
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        blend(averages, current, n_averaged)

    return update
