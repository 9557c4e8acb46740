"""Which features the default should be: candidates cross-validated on the labelled images of sets.

    python benchmarks/default_features.py data/ work/ --only "two sizes,built-in"

On each set's train.txt alone: the features of each network and size are extracted once into work/,
the ensemble is cross-validated by image on each candidate, all with the same folds and seeds. Test
images are not touched. The same command goes on where it stopped, and prints the table.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from dseg.extract.checkpoints.builtin import BUILTIN, FILTERS
from dseg.extract.networks.devices import choose_device
from dseg.extract.networks.options import BackboneOptions
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.inputs.labelled_pixels import read_labelled
from dseg.pipelines.training.cross_validation import Folds, deal, score_folds
from dseg.pipelines.training.holdout import Scores, TrialSetup
from dseg.pipelines.training.options import TrainingOptions
from dseg.store.read.reader import FeatureStore
from dseg.store.read.view import join_features
from dseg.store.whole_file import write_whole
from real.layout import DataSet, find_sets, write_list

LITE = "builtin:efficientnet-lite0"
EVERY = (0, 1, 3, 5, 8, 11, 15, 16)
"""Blocks of the ImageNet network: the stem, and the last of each width."""

LEAN = EVERY[2:]
"""Without the two at half of the input's size."""

NETWORKS: dict[str, tuple[str, BackboneOptions]] = {
    "ddpm": (BUILTIN, BackboneOptions(filters=True, pixels=True)),
    **{f"filters-{size}": (FILTERS, BackboneOptions(size=size)) for size in (128, 256)},
    **{
        str(size): (LITE, BackboneOptions(size=size, blocks=EVERY, pixels=True))
        for size in (128, 192, 256, 320, 384, 512)
    },
}


@dataclass(frozen=True)
class Candidate:
    """Features, and how the ensemble is trained on them.

    Parameters
    ----------
    networks : tuple of str
        Of `NETWORKS`; pixels are sampled on the grid of the first.
    layers : tuple of str, optional
        As ``dseg fit --layers`` takes them; by default all.
    training : dict
        Fields of `TrainingOptions`.
    """

    networks: tuple[str, ...]
    layers: tuple[str, ...] | None = None
    training: dict[str, object] = field(default_factory=dict)


def _lite(number: int, blocks: Sequence[int] = EVERY) -> tuple[str, ...]:
    """Names of the layers of the ImageNet network that is the candidate's n-th."""
    return tuple(f"{number}/{block}" for block in blocks)


def _beside(*diffusion: str) -> Candidate:
    """Return two sizes on the grid of the diffusion model, with some of its layers."""
    layers = (*(f"1/{name}" for name in diffusion), *_lite(2), *_lite(3, LEAN))
    return Candidate(("ddpm", "256", "512"), ("1/filters", "1/pixels", *layers))


def _default(grid: int) -> Candidate:
    """Return what `dseg extract` stores by default, with masks on a grid of that side."""
    layers = ("1/filters", "1/pixels", *_lite(2, LEAN), *_lite(3, LEAN))
    return Candidate((f"filters-{grid}", "256", "512"), layers)


CANDIDATES = {
    "default": _default(128),
    "default, grid of 256": _default(256),
    "built-in": Candidate(("ddpm",)),
    "256": Candidate(("256",)),
    "512": Candidate(("512",)),
    "two sizes": Candidate(("256", "512")),
    "two sizes, lean": Candidate(("256", "512"), ("1/pixels", *_lite(1), *_lite(2, LEAN))),
    "two sizes, lean, grid of 128": Candidate(
        ("128", "256", "512"), ("1/pixels", *_lite(2), *_lite(3, LEAN))
    ),
    "filters": _beside(),
    "filters, 50:2": _beside("50:2"),
    "filters, 50:4": _beside("50:4"),
    "filters, 50:2 and 50:4": _beside("50:2", "50:4"),
    "filters, 50:0, 2, 4, 6": _beside("50:0", "50:2", "50:4", "50:6"),
    "256 + 384, grid of 128": Candidate(
        ("128", "256", "384"), ("1/pixels", *_lite(2), *_lite(3, LEAN))
    ),
    "leaner, grid of 128": Candidate(
        ("128", "256", "512"), ("1/pixels", *_lite(2, LEAN), *_lite(3, LEAN))
    ),
    "128 + 256": Candidate(("128", "256")),
    "192 + 384": Candidate(("192", "384")),
    "three sizes": Candidate(("128", "256", "512")),
}


def opened(networks: Sequence[str], data: DataSet, work: Path) -> list[FeatureStore]:
    """Extract the features of a set's labelled images where they are missing, and open them."""
    stems = write_list(work / f"{data.name}.txt", data.train)
    stores = []
    for name in networks:
        checkpoint, options = NETWORKS[name]
        store = work / f"{data.name}-{name}.zarr"
        extract(ExtractConfig(data.images, store, (checkpoint,), backbone=options, list_file=stems))
        stores.append(FeatureStore.open(store))
    return stores


def measure(candidate: Candidate, data: DataSet, given: argparse.Namespace) -> list[float]:
    """Return the cross-validated mIoU of each seed."""
    stores = opened(candidate.networks, data, given.work)
    features = join_features(stores, candidate.layers)
    labelled = read_labelled(features, data.labels, data.train, 255, Progress())
    scores = []
    for seed in range(given.seeds):
        options = TrainingOptions(
            **{
                "members": given.members,
                "max_steps": given.max_steps,
                "memory": given.memory,
                "seed": seed,
                **candidate.training,
            }
        )
        device = choose_device(given.device)
        setting = TrialSetup(features, labelled, options, options.bytes_allowed(device), device)
        found = Scores.joined(score_folds(setting, folds_of(data, given, seed), Progress()))
        scores.append(float(found.confusion.mean_iou()))
    return scores


def folds_of(data: DataSet, given: argparse.Namespace, seed: int) -> Folds:
    """Deal the folds by the labels as one network sees them, the same for every candidate."""
    features = opened(["256"], data, given.work)[0]
    labelled = read_labelled(features, data.labels, data.train, 255, Progress())
    return deal(labelled, given.folds, seed)


def arguments(about: str) -> argparse.ArgumentParser:
    """Return what scripts take that cross-validate candidates on training lists."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sets, as real_data.py's")
    parser.add_argument("work", type=Path, help="folder for stores")
    parser.add_argument("--sets", type=lambda text: text.split(","))
    parser.add_argument("--only", type=lambda text: text.split(";"), help="candidates, by ';'")
    parser.add_argument("--seeds", type=int, default=1, help="deal folds and train so many times")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--members", type=int, default=5)
    return parser


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--max-steps", type=int, default=1000)
    parser.add_argument("--memory", type=int, default=2_000_000_000)
    parser.add_argument("--out", type=Path, default=Path("results/default_features.json"))
    parser.add_argument("--device")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    common = [given.seeds, given.folds, given.members, given.max_steps]
    sets = list(find_sets(given.data, given.sets))
    print(f"{'':<34}" + "".join(f"{data.name:>13}" for data in sets) + f"{'mean':>8}")
    for name, candidate in CANDIDATES.items():
        if given.only and name not in given.only:
            continue
        print(f"{name:<34}", end="", flush=True)
        means = []
        for data in sets:
            key = json.dumps([data.name, name, *common])
            results = json.loads(given.out.read_text()) if given.out.is_file() else {}
            if key not in results:
                scores = measure(candidate, data, given)
                results = json.loads(given.out.read_text()) if given.out.is_file() else {}
                results[key] = scores
                given.out.parent.mkdir(parents=True, exist_ok=True)
                write_whole(given.out, json.dumps(results, indent=1).encode())
            means.append(fmean(results[key]))
            print(f"{means[-1]:>13.3f}", end="", flush=True)
        print(f"{fmean(means):>8.3f}", flush=True)


if __name__ == "__main__":
    main()
