"""The training step of a student, and the state from which it goes on."""

from typing import Any

import torch
from torch import Tensor

from ...pretrain.train.optimisation import RATE_FACTOR, Optimisation, mixed_seed
from ...pretrain.train.processes import Processes
from ..data.pairs import Batch
from ..networks.start import Start
from .loss import soft_cross_entropy
from .recipe import Recipe, learning_rate

__all__ = ["StudentTraining"]


class StudentTraining(Optimisation):
    """A student, its average and its optimiser.

    What dropout leaves out depends on (seed, step) alone, so a break does not change a run.

    Parameters
    ----------
    start : Start
        Its network is trained in place.
    recipe : Recipe
    device : torch.device
    precision : torch.dtype
        float32, or what autocast computes in.
    """

    def __init__(
        self,
        start: Start,
        recipe: Recipe,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(
            start.network,
            Processes(0, 1, device),
            precision,
            weight_decay=recipe.weight_decay,
            ema_decay=recipe.ema_decay,
            clip=recipe.clip,
            average_buffers=True,
            groups=_groups(start, recipe.trained_factor),
        )
        self.recipe = recipe

    @property
    def batch_size(self) -> int:
        """Images a step."""
        return self.recipe.batch_size

    def rate(self, progress: float) -> float:
        """Return the learning rate of the next step, at a share of the run that is done."""
        return learning_rate(self.recipe, self.done, progress)

    def step(self, batch: Batch, rate: float) -> Tensor:
        """Take one step.

        Parameters
        ----------
        batch : Batch
        rate : float
            Learning rate.

        Returns
        -------
        tensor, a scalar
            The loss, on the device.
        """
        device = self.here.device
        x, targets, weights = (
            part.to(device, non_blocking=True)
            for part in (batch.images, batch.targets, batch.weights)
        )
        torch.manual_seed(mixed_seed(self.recipe.seed, self.done))  # for dropout
        if device.type != "mps":
            x = x.contiguous(memory_format=torch.channels_last)
        with self.autocast():
            scores = self.network(x)
        loss = soft_cross_entropy(scores, targets, weights)
        self.descend(loss, rate)
        return loss.detach()


def _groups(start: Start, factor: float) -> list[dict[str, Any]]:
    """Return the parameters that have trained weights, which learn slower, and the others."""
    prefix = f"{start.trained}."
    named = list(start.network.named_parameters())
    trained = [weight for name, weight in named if start.trained and name.startswith(prefix)]
    others = [weight for name, weight in named if not start.trained or not name.startswith(prefix)]
    groups = [{"params": trained, RATE_FACTOR: factor}, {"params": others, RATE_FACTOR: 1.0}]
    return [group for group in groups if group["params"]]
