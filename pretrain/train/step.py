"""The training step of a diffusion model, and the state from which it goes on.

With ``x_t = sqrt(ᾱ_t) x + sqrt(1 - ᾱ_t) ε`` the network learns ε from x_t and t: the simple loss
of Ho et al., NeurIPS 2020, eq. 14. What is kept is the exponential moving average of its weights.
"""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...store.errors import DsegError
from .processes import Processes
from .recipe import Recipe

__all__ = ["Training", "noise_loss"]

_COLOURS = 3


def noise_loss(network: Any, schedule: Any, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error of the noise that a network sees in noised images.

    Of a network that also gives variances (twice the channels), only the noise counts.

    Parameters
    ----------
    network : callable
        ``network(x_t, t).sample``.
    schedule : diffusers.DDPMScheduler
    x, noise : tensor of shape (B, 3, H, W), float32
    t : tensor of shape (B,), int64
    """
    predicted = network(schedule.add_noise(x, noise, t), t).sample[:, :_COLOURS]
    return nn.functional.mse_loss(predicted.float(), noise)


class Training:
    """A network, its average and its optimiser.

    The randomness of a step depends on (seed, step) alone, so a break does not change a run. Each
    process takes its part of what one process would see: so the number of processes changes only
    rounding, and which values a network with dropout leaves out.

    Parameters
    ----------
    network : diffusers.UNet2DModel
        Is trained in place, on the processes' device.
    schedule : diffusers.DDPMScheduler
    recipe : Recipe
    here : Processes
    precision : torch.dtype
        float32, or what autocast computes in.
    compiled : bool
        Let ``torch.compile`` compile the network at the first step; results then differ in
        rounding.
    """

    def __init__(
        self,
        network: Any,
        schedule: Any,
        recipe: Recipe,
        here: Processes,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        device = here.device
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
        self.network = network.to(device, memory_format=layout).requires_grad_(True).train()
        self.schedule, self.recipe, self.here = schedule, recipe, here
        self.precision = precision
        self._autocast = (device.type, precision, precision != torch.float32)
        self._average = AveragedModel(
            self.network, multi_avg_fn=_average(recipe.ema_decay), use_buffers=False
        )
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self._parallel = self.network
        if here.world > 1:
            self._parallel = DistributedDataParallel(self.network)
        if compiled:
            self._parallel = torch.compile(self._parallel)
        # Gradients are averaged over processes, whose parts may differ by an image.
        self._weight = here.share(recipe.batch_size)[1] * here.world / recipe.batch_size
        self.done = 0

    @property
    def averaged(self) -> Any:
        """The network with averaged weights, in evaluation mode."""
        return self._average.module.eval()

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes."""
        device, dtype, enabled = self._autocast
        return torch.autocast(device, dtype, enabled=enabled)

    def step(self, images: NDArray[np.float32], rate: float) -> Tensor:
        """Take one step.

        Parameters
        ----------
        images : array of shape (b, 3, H, W), float32, in [-1, 1]
            This process's part of the batch.
        rate : float
            Learning rate.

        Returns
        -------
        tensor, a scalar
            The loss over this process's part, on its device.
        """
        x = torch.from_numpy(images).to(self.here.device, non_blocking=True)
        t, noise = self._draw(x.shape[1:])
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with self.autocast():
            loss = noise_loss(self._parallel, self.schedule, x, t, noise)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss * self._weight).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._average.update_parameters(self.network)
        self.done += 1
        return loss.detach()

    def _draw(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Return this process's timesteps and noise of the present step."""
        device, batch = self.here.device, self.recipe.batch_size
        low, count = self.here.share(batch)
        torch.manual_seed(_mixed(self.recipe.seed, self.done, 0))
        steps = self.schedule.config.num_train_timesteps
        t = torch.randint(0, steps, (batch,))[low : low + count].to(device)
        noise = torch.randn((batch, *shape), device=device)[low : low + count]
        torch.manual_seed(_mixed(self.recipe.seed, self.done, 1 + self.here.rank))  # for dropout
        return t, noise

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


def _mixed(*numbers: int) -> int:
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
