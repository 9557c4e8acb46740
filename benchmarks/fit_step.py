"""One training step of ten members: all at once against one after the other, as published.

::

    python benchmarks/fit_step.py                 # D = 8448, 29 classes, batches of 64
    python benchmarks/fit_step.py --rounds 20

The published loop trains the members in turn, each by an Adam of its own; dseg makes one step of
all, each on a batch of its own, on all channels or on as many as `dseg fit` reduces them to. All
run by turns in one process, drawing of the batches included; the ratio of the medians is printed
with the lowest and highest ratio of a round. First the results are compared: from the same weights
and batches, the weights after a few steps.
"""

import argparse
from collections.abc import Callable, Iterator
from statistics import median

import torch
from dseg.classify.ensemble.members import MemberStack, hidden_widths
from dseg.classify.ensemble.reduction import default_dims
from dseg.classify.ensemble.training import Trainer
from fitting.published import BATCH, Member, as_stack, mlp
from timing import seconds
from torch import Tensor, nn

MEMBERS, CLASSES, DIMS = 10, 29, 8448
PIXELS = 4096


def published_step(
    networks: list[nn.Sequential], optimisers: list[torch.optim.Adam], X: Tensor, y: Tensor
) -> None:
    """Make one step of each member in turn, on its own batch: (M, B, D) and (M, B)."""
    criterion = nn.CrossEntropyLoss()
    for number, (network, optimiser) in enumerate(zip(networks, optimisers, strict=True)):
        optimiser.zero_grad()
        criterion(network(X[number]), y[number]).backward()
        optimiser.step()


def made(dims: int, rate: float = 1e-3) -> tuple[list[nn.Sequential], list[torch.optim.Adam]]:
    """Return members as published, and their optimisers."""
    torch.manual_seed(0)
    networks = [mlp(dims, CLASSES).train() for _ in range(MEMBERS)]
    return networks, [torch.optim.Adam(n.parameters(), lr=rate) for n in networks]


def batches(dims: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw batches without end from vectors in memory."""
    random = torch.Generator().manual_seed(1)
    X = torch.randn(PIXELS, dims, generator=random)
    y = X[:, :CLASSES].argmax(dim=1)
    while True:
        index = torch.randint(PIXELS, (MEMBERS, BATCH), generator=random)
        yield X[index], y[index]


def largest_difference(dims: int, steps: int) -> float:
    """Return how far the weights of both are apart after some steps from the same ones."""
    networks, optimisers = made(dims)
    trainer = Trainer(stacked(networks))
    for _, (X, y) in zip(range(steps), batches(dims), strict=False):
        published_step(networks, optimisers, X, y)
        trainer.step(X, y)
    pairs = zip(
        trainer.stack.state_dict().values(), stacked(networks).state_dict().values(), strict=True
    )
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def stacked(networks: list[nn.Sequential]) -> MemberStack:
    return as_stack([Member(network, 0, 0.0) for network in networks])


def compare_time(dims: int, rounds: int) -> None:
    networks, optimisers = made(dims)
    drawn = batches(dims)
    ways: dict[str, Callable[[], object]] = {
        "published, in turn": lambda: published_step(networks, optimisers, *next(drawn))
    }
    for fewer in dict.fromkeys((dims, default_dims(dims), 512)):
        stack = MemberStack(MEMBERS, fewer, hidden_widths(CLASSES), CLASSES)
        stack.initialise([torch.Generator().manual_seed(m) for m in range(MEMBERS)])
        ways[f"dseg, {fewer} channels"] = step_of(Trainer(stack), batches(fewer))
    for way in ways.values():
        way()  # the first call allocates
    taken = [{name: seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    middle = {name: median(r[name] for r in taken) for name in ways}
    first = next(iter(ways))
    print(f"{first:22s} {1000 * middle[first]:8.1f} ms  ({rounds} rounds)")
    for name in list(ways)[1:]:
        ratios = [r[first] / r[name] for r in taken]
        print(
            f"{name:22s} {1000 * middle[name]:8.1f} ms  {middle[first] / middle[name]:5.1f}x "
            f"faster ({min(ratios):.1f} to {max(ratios):.1f})"
        )


def step_of(trainer: Trainer, drawn: Iterator[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    return lambda: trainer.step(*next(drawn)).sum().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dims", type=int, default=DIMS)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    apart = largest_difference(given.dims, steps=5)
    print(f"after 5 steps from the same weights and batches they differ by at most {apart:.1e}")
    compare_time(given.dims, given.rounds)


if __name__ == "__main__":
    main()
