"""The published training loop, plainly: one member after the other, until its losses stand still.

After ``train_interpreter.py`` of Baranchuk et al. (ICLR 2022): Adam at 1e-3, batches of 64 shuffled
pixels, cross-entropy; from epoch index 4 on, stop once more than 50 batches in a row brought no new
lowest loss; at most 100 epochs. Batches are gathered by index: that is quicker than the published
data loader, which collates pixel by pixel.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from dseg.classify.ensemble.members import MemberStack, hidden_widths
from torch import Tensor, nn

__all__ = ["Member", "as_stack", "mlp", "published_members"]

BATCH, EPOCHS, PATIENCE = 64, 100, 50


@dataclass(frozen=True)
class Member:
    """A trained member.

    Parameters
    ----------
    network : nn.Sequential
    steps : int
    seconds : float
        Since the first member began.
    """

    network: nn.Sequential
    steps: int
    seconds: float


def mlp(dims: int, n_classes: int) -> nn.Sequential:
    """Return the published classifier: weights from N(0, 0.02²), biases 0."""
    first, second = hidden_widths(n_classes)
    network = nn.Sequential(
        nn.Linear(dims, first),
        nn.ReLU(),
        nn.BatchNorm1d(first),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.BatchNorm1d(second),
        nn.Linear(second, n_classes),
    )
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.02)
            nn.init.zeros_(layer.bias)
    return network


def published_members(
    X: Tensor, y: Tensor, n_classes: int, members: int, seed: int, limit: float
) -> Iterator[Member]:
    """Train one member after the other.

    Parameters
    ----------
    X : tensor of shape (n, D), float32
    y : tensor of shape (n,), int64
    n_classes, members, seed : int
    limit : float
        Seconds after which no member goes on.
    """
    start = time.perf_counter()
    for number in range(members):
        torch.manual_seed(1000 * seed + number)
        network = mlp(X.shape[1], n_classes).train()
        steps = _train(network, X, y, start + limit)
        yield Member(network.eval(), steps, time.perf_counter() - start)
        if time.perf_counter() > start + limit:
            return


def _train(network: nn.Sequential, X: Tensor, y: Tensor, end: float) -> int:
    criterion, optimiser = nn.CrossEntropyLoss(), torch.optim.Adam(network.parameters(), lr=1e-3)
    steps, best, waited = 0, 10_000_000.0, 0
    for epoch in range(EPOCHS):
        order = torch.randperm(len(X))
        for first in range(0, len(X) - BATCH + 1, BATCH):
            index = order[first : first + BATCH]
            optimiser.zero_grad()
            loss = criterion(network(X[index]), y[index])
            loss.backward()
            optimiser.step()
            steps += 1
            if epoch > 3:
                if loss.item() < best:
                    best, waited = loss.item(), 0
                else:
                    waited += 1
                if waited > PATIENCE:
                    return steps
            if time.perf_counter() > end:
                return steps
    return steps


@torch.no_grad()
def as_stack(members: list[Member]) -> MemberStack:
    """Return the members as dseg runs them, for scores of both by the same code."""
    linears = [[m.network[i] for m in members] for i in (0, 3, 6)]
    norms = [[m.network[i] for m in members] for i in (2, 5)]
    dims, n_classes = linears[0][0].in_features, linears[-1][0].out_features
    stack = MemberStack(len(members), dims, hidden_widths(n_classes), n_classes).eval()
    for i, layers in enumerate(linears):
        stack.weights[i].copy_(torch.stack([layer.weight.T for layer in layers]))
        stack.biases[i].copy_(torch.stack([layer.bias for layer in layers]))
    for i, layers in enumerate(norms):
        stack.gammas[i].copy_(torch.stack([layer.weight for layer in layers]))
        stack.betas[i].copy_(torch.stack([layer.bias for layer in layers]))
        stack.means[i].copy_(torch.stack([layer.running_mean for layer in layers]))
        stack.variances[i].copy_(torch.stack([layer.running_var for layer in layers]))
    return stack
