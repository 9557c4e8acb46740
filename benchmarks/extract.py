"""Activations of an image: dseg's pass against the published three whole forwards.

::

    python benchmarks/extract.py              # the LSUN-256 architecture at a quarter of its width
    python benchmarks/extract.py --width 256  # at its full width
    python benchmarks/extract.py --size 64 --width 32 --rounds 3

The published way runs the whole network once a timestep, at batch 1, and keeps the outputs of the
wanted blocks by hooks. dseg runs all timesteps as one batch and nothing past the last wanted block.
Both run by turns in one process on the same random weights; the ratio of the medians is printed
with the lowest and highest ratio of a round, after the largest relative L2 difference of a layer.
"""

import argparse
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from dseg import load_backbone
from dseg.extract.networks.diffusion.noise import NoiseSchedule, q_sample, shared_noise
from networks import lsun_network
from timing import seconds
from torch import Tensor, nn

STEPS, BLOCKS = (50, 150, 250), (5, 6, 7, 8, 12)


def modules_of(unet: nn.Module) -> list[nn.Module]:
    """Return the last module of each wanted decoder block, whose output is the activation."""
    found = []
    for level in unet.up_blocks:
        attentions = getattr(level, "attentions", None)
        for place, resnet in enumerate(level.resnets):
            last = place == len(level.resnets) - 1
            if last and level.upsamplers:
                found.append(level.upsamplers[0])
            else:
                found.append(resnet if attentions is None else attentions[place])
    return [found[number] for number in BLOCKS]


@torch.no_grad()
def published(unet: nn.Module, x: Tensor, noise: Tensor, schedule: NoiseSchedule) -> list[Tensor]:
    """Return the wanted activations (1, C, h, w), for each timestep, for each block."""
    kept: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _, __, out: kept.append(out))
        for module in modules_of(unet)
    ]
    try:
        for step in STEPS:
            unet(q_sample(x, (step,), noise, schedule)[0], torch.tensor([step]))
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def compare(width: int, size: int, rounds: int) -> tuple[float, list[float], list[float]]:
    """Return the largest relative L2 difference, and each round's seconds, published and dseg's."""
    with TemporaryDirectory() as folder:
        unet, schedule = lsun_network(folder, width, size)
        backbone = load_backbone(folder, STEPS, BLOCKS, device="cpu")
    noise = shared_noise(0, (size, size))
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)))
    x = x.float()
    pairs = zip(published(unet, x, noise, schedule), backbone(x), strict=True)
    apart = max(float((a - b).norm() / a.norm()) for a, b in pairs)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        taken[0].append(seconds(lambda: published(unet, x, noise, schedule)))
        taken[1].append(seconds(lambda: backbone(x)))
    return apart, *taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="channels of the first level (64)")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (256)")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    apart, theirs, ours = compare(given.width, given.size, given.rounds)
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    print(f"activations differ by at most {apart:.1e} (relative L2 of a layer)")
    print(f"published  {median(theirs):6.2f} s an image  ({given.rounds} rounds)")
    print(
        f"dseg       {median(ours):6.2f} s an image  {median(theirs) / median(ours):.2f}x faster "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
