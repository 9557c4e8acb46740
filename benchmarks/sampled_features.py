"""A quicker test of features and of the ensemble than default_features.py, on sampled pixels.

    python benchmarks/sampled_features.py data/ work/ --only "both sizes;dropout of .3"

On each set's train.txt, in three folds of whole images: 3000 pixels an image are read once, the
ensemble (five members, 1000 steps) is trained on those of two folds and scored on those of the
third; --seeds deals the folds and trains anew, the same way for each variant. No masks are made,
so a variant takes half a minute a set. Test images are not touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from default_features import LEAN, NETWORKS, _lite, arguments, opened
from dseg.classify.ensemble.class_balance import class_weights
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.recipes import Recipe
from dseg.classify.ensemble.reduction import ReductionPlan, default_dims, fit_reduction
from dseg.classify.ensemble.scaling import Scaling
from dseg.classify.labels.label_maps import read_label_map
from dseg.store.geometry import resize_nearest
from dseg.store.read.view import join_features
from dseg.store.sampling.dask_tasks import read_vectors
from dseg.store.spec import FeatureSpec
from real.layout import DataSet, find_sets
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout

PIXELS, SAMPLE, GRID, IGNORE = 3000, 2048, (256, 256), 255
RECIPE = Recipe.default(1000)
EXTRAS = ("1/filters", "1/pixels")


@dataclass(frozen=True)
class Variant:
    """Features, and what of the training differs from the default.

    Parameters
    ----------
    networks : tuple of str
        Of `default_features.NETWORKS`.
    layers : tuple of str
        As ``dseg fit --layers`` takes them.
    hidden : tuple of int
    input_dropout, hidden_dropout : float
        Of the features, and behind the first hidden layer.
    """

    networks: tuple[str, ...] = ("ddpm", "256", "512")
    layers: tuple[str, ...] = (*EXTRAS, *_lite(2), *_lite(3, LEAN))
    hidden: tuple[int, int] = (128, 32)
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0


LEANER = (*_lite(2, LEAN), *_lite(3, LEAN))
VARIANTS = {
    "both sizes": Variant(),
    "both sizes, no maps of half the size": Variant(layers=(*EXTRAS, *LEANER)),
    "three sizes": Variant(
        ("ddpm", "128", "256", "512"), (*EXTRAS, *_lite(2), *_lite(3), *_lite(4, LEAN))
    ),
    "256": Variant(("ddpm", "256"), (*EXTRAS, *_lite(2))),
    "512": Variant(("ddpm", "512"), (*EXTRAS, *_lite(2, LEAN))),
    "both sizes, 50:2": Variant(layers=("1/50:2", *EXTRAS, *_lite(2), *_lite(3, LEAN))),
    "both sizes, 50:2, no maps of half the size": Variant(layers=("1/50:2", *EXTRAS, *LEANER)),
    "leaner, 50:4": Variant(layers=("1/50:4", *EXTRAS, *LEANER)),
    "leaner, 50:6": Variant(layers=("1/50:6", *EXTRAS, *LEANER)),
    "leaner, 50:2, 4 and 6": Variant(layers=("1/50:2", "1/50:4", "1/50:6", *EXTRAS, *LEANER)),
    "leaner, 5:4": Variant(layers=("1/5:4", *EXTRAS, *LEANER)),
    "leaner, no filters": Variant(layers=("1/pixels", *LEANER)),
    "dropout of .3": Variant(hidden_dropout=0.3),
    "dropout of .2 on the features": Variant(input_dropout=0.2),
    "dropout of .5 on the features": Variant(input_dropout=0.5),
    "hidden layers of 64 and 32": Variant(hidden=(64, 32)),
}


@dataclass(frozen=True)
class Pixels:
    """Some pixels of each image, by map size, and their classes."""

    spec: FeatureSpec
    maps: list[dict[str, np.ndarray]] = field(default_factory=list)
    y: list[np.ndarray] = field(default_factory=list)

    def joined(self, images: Sequence[int]) -> tuple[dict[str, np.ndarray], Tensor]:
        x = {
            size: np.concatenate([self.maps[i][size] for i in images])
            for size in self.spec.map_sizes
        }
        return x, torch.from_numpy(np.concatenate([self.y[i] for i in images]))


def read_pixels(variant: Variant, data: DataSet, work: Path) -> Pixels:
    features = join_features(opened(variant.networks, data, work), variant.layers)
    images = {image.stem: image for image in features.images}
    rng, found = np.random.default_rng(0), Pixels(features.spec)
    for stem in data.train:
        (row,) = features.rows(images[stem].index)
        label = resize_nearest(read_label_map(data.label_paths[stem]), GRID).ravel()
        places = np.flatnonzero(label != IGNORE)
        places = np.sort(rng.choice(places, min(PIXELS, len(places)), replace=False))
        yx = np.stack(np.divmod(places, GRID[1]), axis=1)
        sizes = features.spec.map_sizes
        found.maps.append({size: read_vectors(features, row, size, yx, GRID) for size in sizes})
        found.y.append(label[places].astype(np.int64))
    return found


def scores(stack: MemberStack, variant: Variant, x: Tensor) -> Tensor:
    """The members' scores; in training with dropout."""
    x = dropout(x, variant.input_dropout, stack.training)
    for i in range(2):
        x = stack._normalise(i, torch.relu(stack._linear(i, x)))
        x = dropout(x, variant.hidden_dropout, stack.training and i == 0)
    return stack._linear(2, x)


def train(
    variant: Variant, x: Tensor, y: Tensor, n_classes: int, members: int, seed: int
) -> MemberStack:
    stack = MemberStack(members, x.shape[1], variant.hidden, n_classes)
    stack.initialise([torch.Generator().manual_seed(1000 * seed + m) for m in range(members)])
    weights = class_weights(torch.bincount(y, minlength=n_classes), RECIPE.balance)
    adam = torch.optim.Adam(stack.parameters(), fused=True)
    drawn, steps = torch.Generator().manual_seed(seed), RECIPE.max_steps or 0
    for step in range(steps):
        adam.param_groups[0]["lr"] = RECIPE.rate(step, steps)
        index = torch.randint(len(y), (members, RECIPE.batch_size), generator=drawn)
        found = scores(stack, variant, x[index]).transpose(1, 2)
        loss: Any = cross_entropy(found, y[index], weights.float(), reduction="none")
        adam.zero_grad()
        loss.mean(dim=1).sum().backward()
        adam.step()
    return stack.eval()


@torch.no_grad()
def votes(stack: MemberStack, variant: Variant, x: Tensor) -> Tensor:
    parts = (scores(stack, variant, part.expand(stack.members, -1, -1)) for part in x.split(8192))
    best = torch.cat([part.argmax(dim=-1) for part in parts], dim=1)
    return torch.nn.functional.one_hot(best).sum(dim=0).argmax(dim=-1)


def mean_iou(variant: Variant, pixels: Pixels, n_classes: int, seed: int, given: Any) -> float:
    counts = np.zeros((n_classes, n_classes))
    order = np.random.default_rng(100 + seed).permutation(len(pixels.y))
    for part in np.array_split(order, given.folds):
        (x, y), (held_x, held_y) = (
            pixels.joined([i for i in range(len(order)) if (i in part) == held])
            for held in (False, True)
        )
        chosen = np.sort(np.random.default_rng(0).choice(len(y), SAMPLE, replace=False))
        plan = ReductionPlan.of(pixels.spec, default_dims(pixels.spec.dims), SAMPLE)
        sample = {size: values[chosen] for size, values in x.items()}
        reduction = fit_reduction(sample, pixels.spec, plan)
        learnt, seen = (
            torch.cat(
                [torch.from_numpy(reduction.vectors(s, every[s])) for s in every], dim=1
            ).float()
            for every in (x, held_x)
        )
        scaling = Scaling.of(learnt[chosen], [layer.channels for layer in reduction.spec.layers])
        stack = train(variant, scaling.apply_(learnt), y, n_classes, given.members, seed)
        found = votes(stack, variant, scaling.apply_(seen))
        np.add.at(counts, (held_y.numpy(), found.numpy()), 1)
    right, either = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    return float(np.mean(right[either > 0] / either[either > 0]))


def main() -> None:
    given = arguments(__doc__ or "").parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    assert all(set(variant.networks) <= NETWORKS.keys() for variant in VARIANTS.values())
    sets = list(find_sets(given.data, given.sets))
    print(f"{'':<44}" + "".join(f"{data.name:>13}" for data in sets) + f"{'mean':>8}")
    for name, variant in VARIANTS.items():
        if given.only and name not in given.only:
            continue
        found = []
        for data in sets:
            pixels, n_classes = read_pixels(variant, data, given.work), len(data.classes)
            seeds = range(given.seeds)
            found.append(fmean(mean_iou(variant, pixels, n_classes, s, given) for s in seeds))
        line = "".join(f"{v:>13.4f}" for v in found)
        print(f"{name:<44}{line}{fmean(found):>8.4f}", flush=True)


if __name__ == "__main__":
    main()
