"""What labels at their own resolution bring, on full label maps and on thin scribbles.

    python benchmarks/scribbles.py data/ work/

On each set's train.txt alone, with the default features: the ensemble is cross-validated by image,
trained on full label maps or on strokes of two pixels that cover 1 % of each image, and scored on
full label maps. Label maps are once brought to the network's input as published (nearest neighbour,
no class of fewer than 20 pixels), once read at their own resolution. Test images are not touched.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from zlib import crc32

import numpy as np
from dseg.classify.labels.label_maps import read_label_map
from dseg.extract.networks.devices import choose_device
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.inputs.labelled_pixels import read_labelled
from dseg.pipelines.training.cross_validation import deal, score_folds
from dseg.pipelines.training.holdout import Scores, TrialSetup
from dseg.pipelines.training.options import TrainingOptions
from dseg.store.read.reader import FeatureStore
from PIL import Image, ImageDraw
from real.layout import DataSet, find_sets, write_list

IGNORE = 255


def scribbled(label: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Return a label map of which only strokes of two pixels have a class."""
    height, width = label.shape
    rng, drawn = np.random.default_rng(seed), np.zeros(label.shape, bool)
    while drawn.mean() < share:
        image = Image.new("1", (width, height))
        points = rng.uniform(0, [width, height], (1, 2)) + np.cumsum(
            np.vstack([[0, 0], rng.normal(0, 0.06 * max(width, height), (3, 2))]), axis=0
        )
        ImageDraw.Draw(image).line([tuple(p) for p in points.tolist()], fill=1, width=2)
        drawn |= np.asarray(image)
    return np.where(drawn, label, IGNORE).astype(np.uint8)


def write_scribbles(data: DataSet, folder: Path, share: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem in data.train:
        label = read_label_map(data.label_paths[stem])
        drawn = scribbled(label, crc32(stem.encode()), share)
        Image.fromarray(drawn).save(folder / f"{stem}.png")
    names = "\n".join(data.classes.names)
    (folder / "classes.txt").write_text(f"{names}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sets, as real_data.py's")
    parser.add_argument("work", type=Path, help="folder for stores and scribbles")
    parser.add_argument("--sets", type=lambda text: text.split(","))
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--max-steps", type=int, default=1000)
    parser.add_argument("--device")
    given = parser.parse_args()
    device = choose_device(given.device)
    for data in find_sets(given.data, given.sets):
        stems = write_list(given.work / f"{data.name}.txt", data.train)
        store, scribbles = given.work / f"{data.name}.zarr", given.work / f"{data.name}-scribbles"
        extract(ExtractConfig(data.images, store, list_file=stems))
        write_scribbles(data, scribbles, given.share)
        features = FeatureStore.open(store)
        full = read_labelled(features, data.labels, data.train, IGNORE, Progress())
        for labels in (data.labels, scribbles):
            for as_published in (True, False):
                found = read_labelled(
                    features, labels, data.train, IGNORE, Progress(), as_published=as_published
                )
                learnt = replace(found, facts=full.facts)  # scored on the full label maps
                scores = []
                for seed in range(given.seeds):
                    options = TrainingOptions(
                        members=given.members, max_steps=given.max_steps, seed=seed
                    )
                    setting = TrialSetup(
                        features, learnt, options, options.bytes_allowed(device), device
                    )
                    folds = deal(full, given.folds, seed)
                    every = Scores.joined(score_folds(setting, folds, Progress()))
                    scores.append(float(every.confusion.mean_iou()))
                what = "full" if labels == data.labels else "scribbles"
                how = "as published" if as_published else "own resolution"
                print(f"{data.name:<14}{what:<11}{how:<16} mIoU {fmean(scores):.3f}", flush=True)


if __name__ == "__main__":
    main()
