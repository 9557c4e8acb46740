"""Prediction of one row: the factorised way against the published one, time, memory, equality.

Run from anywhere, with dseg installed::

    python benchmarks/predict.py              # D = 8448, 256x256, 10 members, 29 classes
    python benchmarks/predict.py --rounds 7

The published way upsamples every map to the row's size, concatenates them to one vector a pixel and
runs the members in turn. Both run in turns in one process, on the same random weights and float16
activations; the ratio of the medians is printed with the lowest and highest ratio of a round. What
each adds to the peak of resident memory is measured in a process of its own: weights, activations
and results count, interpreter and libraries do not. It takes about 5 GB of memory.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from dseg.classify.ensemble.members import MemberStack, hidden_widths
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.store.geometry import plan_tiles
from dseg.store.spec import FeatureSpec, LayerSpec
from timing import seconds
from torch.nn.functional import interpolate

ROW = (256, 256)
BLOCKS = ((1024, 32), (512, 32), (512, 32), (512, 64), (256, 128))  # channels, side: LSUN-256
MEMBERS, CLASSES = 10, 29
WARM = 512  # channels of the small run that loads the libraries before memory is measured


def make_spec() -> FeatureSpec:
    layers = tuple(
        LayerSpec(t, block, channels, side, side)
        for t in (50, 150, 250)
        for block, (channels, side) in zip((5, 6, 7, 8, 12), BLOCKS, strict=True)
    )
    return FeatureSpec({}, "random", ROW, "squash", 0, 0, layers)


def make_stack(dims: int) -> MemberStack:
    random = torch.Generator().manual_seed(0)
    stack = MemberStack(MEMBERS, dims, hidden_widths(CLASSES), CLASSES).eval()
    with torch.no_grad():
        for weight in stack.weights:
            weight.normal_(0, weight.shape[1] ** -0.5, generator=random)
    return stack


def make_maps(spec: FeatureSpec) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    maps = {}
    for key in spec.map_sizes:
        layers = [spec.layers[i] for i in spec.layers_of(key)]
        shape = (sum(layer.channels for layer in layers), layers[0].height, layers[0].width)
        values = np.empty(shape, np.float16)
        for channel in values:  # one by one: float64 of all would raise the peak
            channel[:] = random.standard_normal(channel.shape, dtype=np.float32)
        maps[key] = values
    return maps


@torch.no_grad()
def published(
    stack: MemberStack, spec: FeatureSpec, maps: dict[str, np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the members' scores, the vote and the uncertainty of each pixel."""
    features = upsample(spec, maps).flatten(1).t()  # (D, H, W) -> (H·W, D)
    scores = []
    for member in range(stack.members):
        x = features
        for i in range(2):
            x = torch.relu(torch.addmm(stack.biases[i][member], x, stack.weights[i][member]))
            scale = stack.gammas[i][member] * torch.rsqrt(stack.variances[i][member] + 1e-5)
            x = (x - stack.means[i][member]) * scale + stack.betas[i][member]
        scores.append(torch.addmm(stack.biases[2][member], x, stack.weights[2][member]))
    stacked = torch.stack(scores)
    p = stacked.softmax(-1)
    entropy = torch.special.entr(p).sum(-1).mean(0)
    uncertainty = torch.special.entr(p.mean(0)).sum(-1) - entropy
    return stacked, stacked.argmax(-1).mode(0).values.view(ROW), uncertainty


def upsample(spec: FeatureSpec, maps: dict[str, np.ndarray]) -> torch.Tensor:
    parts = []
    start = dict.fromkeys(maps, 0)
    for layer in spec.layers:
        first = start[layer.map_size]
        start[layer.map_size] += layer.channels
        own = torch.from_numpy(maps[layer.map_size][first : first + layer.channels]).float()
        parts.append(interpolate(own[None], size=ROW, mode="bilinear", align_corners=False)[0])
    return torch.cat(parts)


def compare_time(rounds: int) -> None:
    spec = make_spec()
    stack, maps = make_stack(spec.dims), make_maps(spec)
    model, geometry = FactorisedEnsemble(stack, spec), plan_tiles(ROW, ROW, "squash")
    ways: dict[str, Callable[[], object]] = {
        "published": lambda: published(stack, spec, maps),
        "with uncertainty": lambda: predict_image(
            model, geometry, [maps], outputs=Outputs(uncertainty=True)
        ),
        "mask only": lambda: predict_image(model, geometry, [maps]),
    }
    ways["mask only"]()  # the first call is slower
    taken = [{name: seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    middle = {name: median(round_[name] for round_ in taken) for name in ways}
    print(f"published                {middle['published']:8.2f} s  ({rounds} rounds)")
    for name in ("with uncertainty", "mask only"):
        ratios = [round_["published"] / round_[name] for round_ in taken]
        print(
            f"dseg, {name:18s} {middle[name]:8.2f} s  {middle['published'] / middle[name]:5.1f}x "
            f"faster ({min(ratios):.1f} to {max(ratios):.1f})"
        )


def compare_results() -> None:
    spec = make_spec()
    stack, maps = make_stack(spec.dims), make_maps(spec)
    scores, vote, uncertainty = published(stack, spec, maps)
    model = FactorisedEnsemble(stack, spec)
    ours = model.logits(model.prepare(maps), 0, ROW[0]).flatten(1, 2)
    prediction = predict_image(
        model, plan_tiles(ROW, ROW, "squash"), [maps], outputs=Outputs(uncertainty=True)
    )
    off = np.abs(prediction.uncertainty.ravel() - uncertainty.numpy()).max()
    print(
        f"scores (std {scores.std():.2f}) differ by at most {(ours - scores).abs().max():.1e}, "
        f"uncertainty by {off:.1e}; "
        f"{(prediction.mask == vote.numpy()).mean():.4%} of the labels are equal"
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(way: str) -> None:
    """Print the MB that one prediction adds to this process's peak."""
    torch.rand(WARM, WARM) @ torch.rand(WARM, WARM)
    before = peak_mb()
    spec = make_spec()
    stack, maps = make_stack(spec.dims), make_maps(spec)
    if way == "published":
        published(stack, spec, maps)
    else:
        model = FactorisedEnsemble(stack, spec)
        del stack
        predict_image(
            model, plan_tiles(ROW, ROW, "squash"), [maps], outputs=Outputs(uncertainty=True)
        )
    print(peak_mb() - before)


def compare_memory() -> None:
    added = {}
    for way in ("published", "dseg"):
        command = [sys.executable, __file__, "--memory", way]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
        added[way] = float(done.stdout)
    ratio = added["published"] / added["dseg"]
    print(
        f"peak memory: published {added['published']:.0f} MB, dseg {added['dseg']:.0f} MB, "
        f"{ratio:.1f}x less"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", choices=["published", "dseg"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.memory)
        return
    compare_memory()  # first: Linux counts the parent's peak as the child's
    compare_results()
    compare_time(options.rounds)


if __name__ == "__main__":
    main()
