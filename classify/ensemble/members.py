"""The MLPs of an ensemble, stacked: every parameter has a leading member axis.

One batched matrix product runs all members at once, which is much faster than ten small products.
Members share nothing: each has its own weights, batches and batch statistics.

The network of a member is the published one (Baranchuk et al., ICLR 2022): Linear, ReLU,
BatchNorm, Linear, ReLU, BatchNorm, Linear, in this order.
"""

import itertools
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["MemberStack", "hidden_widths"]

EPS = 1e-5
MOMENTUM = 0.1
LARGE_FROM = 30


def hidden_widths(n_classes: int) -> tuple[int, int]:
    """Return the widths of the two hidden layers: 128 and 32, or 256 and 128 from 30 classes on."""
    return (128, 32) if n_classes < LARGE_FROM else (256, 128)


class MemberStack(nn.Module):
    """M pixel classifiers D → H1 → H2 → C with a leading member axis.

    Parameters
    ----------
    members : int
        M.
    dims : int
        D, the length of a feature vector.
    hidden : sequence of int
        H1, H2.
    n_classes : int
        C.

    Attributes
    ----------
    weights, biases : lists of tensors, (M, in, out) and (M, out), three each
    gammas, betas, means, variances : lists of tensors (M, H), two each
        BatchNorm's weight, bias, running mean and running variance.
    """

    def __init__(self, members: int, dims: int, hidden: Sequence[int], n_classes: int) -> None:
        super().__init__()
        widths = [dims, *hidden, n_classes]
        self.widths = tuple(widths)
        self.members = members
        pairs = list(itertools.pairwise(widths))
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(members, a, b)) for a, b in pairs)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(members, b)) for _, b in pairs)
        self.gammas = nn.ParameterList(nn.Parameter(torch.ones(members, h)) for h in hidden)
        self.betas = nn.ParameterList(nn.Parameter(torch.zeros(members, h)) for h in hidden)
        for i, h in enumerate(hidden):
            self.register_buffer(f"mean{i}", torch.zeros(members, h))
            self.register_buffer(f"variance{i}", torch.ones(members, h))

    @property
    def means(self) -> list[Tensor]:
        """Running means, one (M, H) tensor a BatchNorm."""
        return [self.get_buffer(f"mean{i}") for i in range(len(self.gammas))]

    @property
    def variances(self) -> list[Tensor]:
        """Running variances, one (M, H) tensor a BatchNorm."""
        return [self.get_buffer(f"variance{i}") for i in range(len(self.gammas))]

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """Draw each member's weights from N(0, 0.02²) by its own generator; biases are 0."""
        with torch.no_grad():
            for member, generator in enumerate(generators):
                for weight in self.weights:
                    drawn = torch.randn(weight.shape[1:], generator=generator) * 0.02
                    weight[member].copy_(drawn)

    def select(self, members: Sequence[int]) -> Self:
        """Return a copy of some members."""
        part = type(self)(len(members), self.widths[0], self.widths[1:-1], self.widths[-1])
        part.load_state_dict(
            {key: value[list(members)] for key, value in self.state_dict().items()}
        )
        return part.to(self.weights[0].device)

    def assign(self, members: Sequence[int], part: "MemberStack") -> None:
        """Overwrite some members with those of another stack; the inverse of `select`."""
        ours, theirs = self.state_dict(), part.state_dict()
        for key, value in ours.items():
            value[list(members)] = theirs[key]

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores.

        Parameters
        ----------
        x : tensor of shape (M, B, D), or (B, D) for one batch shared by all members

        Returns
        -------
        tensor of shape (M, B, C)
        """
        if x.ndim == 2:
            x = x.expand(self.members, *x.shape)
        for i in range(len(self.gammas)):
            x = torch.relu(self._linear(i, x))
            x = self._normalise(i, x)
        return self._linear(len(self.gammas), x)

    def _linear(self, i: int, x: Tensor) -> Tensor:
        # (M, B, in) @ (M, in, out): weights are the transpose of `nn.Linear`'s
        return torch.baddbmm(self.biases[i].unsqueeze(1), x, self.weights[i])

    def _normalise(self, i: int, x: Tensor) -> Tensor:
        mean, variance = self.means[i], self.variances[i]
        if self.training and x.shape[1] > 1:  # a single pixel has no variance
            batch_variance, batch_mean = torch.var_mean(x, dim=1, correction=0)
            self._track(mean, variance, batch_mean, batch_variance, x.shape[1])
            mean, variance = batch_mean, batch_variance
        scale = self.gammas[i] * torch.rsqrt(variance + EPS)
        shift = self.betas[i] - mean * scale
        normalised: Tensor = x * scale.unsqueeze(1) + shift.unsqueeze(1)
        return normalised

    @staticmethod
    def _track(
        mean: Tensor, variance: Tensor, batch_mean: Tensor, batch_variance: Tensor, n: int
    ) -> None:
        """Update the running statistics; as in torch, with the unbiased variance of the batch."""
        with torch.no_grad():
            mean.lerp_(batch_mean, MOMENTUM)
            variance.lerp_(batch_variance * (n / (n - 1)), MOMENTUM)
