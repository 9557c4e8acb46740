"""The training step of a diffusion model, and the state from which it goes on.

With ``x_t = sqrt(ᾱ_t) x + sqrt(1 - ᾱ_t) ε`` the network learns ε from x_t and t: the simple loss
of Ho et al., NeurIPS 2020, eq. 14. What is kept is the exponential moving average of its weights.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .optimisation import Optimisation, mixed_seed
from .processes import Processes
from .recipe import Recipe, learning_rate

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


class Training(Optimisation):
    """A denoising network, its average and its optimiser.

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
        super().__init__(
            network,
            here,
            precision,
            weight_decay=recipe.weight_decay,
            ema_decay=recipe.ema_decay,
            clip=recipe.clip,
        )
        self.schedule, self.recipe = schedule, recipe
        self._parallel = self.network
        if here.world > 1:
            self._parallel = DistributedDataParallel(self.network)
        if compiled:
            self._parallel = torch.compile(self._parallel)
        # Gradients are averaged over processes, whose parts may differ by an image.
        self._weight = here.share(recipe.batch_size)[1] * here.world / recipe.batch_size

    @property
    def batch_size(self) -> int:
        """Images a step, over all processes."""
        return self.recipe.batch_size

    def rate(self, progress: float) -> float:
        """Return the learning rate of the next step, at a share of the run that is done."""
        return learning_rate(self.recipe, self.done, progress)

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
        with self.autocast():
            loss = noise_loss(self._parallel, self.schedule, x, t, noise)
        self.descend(loss * self._weight, rate)
        return loss.detach()

    def _draw(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Return this process's timesteps and noise of the present step."""
        device, batch = self.here.device, self.recipe.batch_size
        low, count = self.here.share(batch)
        torch.manual_seed(mixed_seed(self.recipe.seed, self.done, 0))
        steps = self.schedule.config.num_train_timesteps
        t = torch.randint(0, steps, (batch,))[low : low + count].to(device)
        noise = torch.randn((batch, *shape), device=device)[low : low + count]
        torch.manual_seed(
            mixed_seed(self.recipe.seed, self.done, 1 + self.here.rank)
        )  # for dropout
        return t, noise
