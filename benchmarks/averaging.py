"""What averaging over draws of the noise and over the mirrored image brings, and costs.

    python benchmarks/averaging.py data/ --sets camvid,clothing

On each set's train.txt: features of the built-in checkpoint, plain and averaged; the ensemble
cross-validated by image on each, with the same folds and seeds. Test images are not touched. The
same command goes on where it stopped; the table is printed at the end.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from dseg.extract.checkpoints.builtin import BUILTIN
from dseg.extract.networks.options import BackboneOptions
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.store.whole_file import write_whole
from real.layout import DataSet, find_sets, write_list
from real_data import SIZES

VARIANTS = {
    "plain": {},
    "--draws 4": {"draws": 4},
    "--flip": {"flip": True},
    "--draws 4 --flip": {"draws": 4, "flip": True},
}


def measure(data: DataSet, options: dict[str, object], given: argparse.Namespace) -> dict:
    """Return the cross-validated mIoU of each seed, and the seconds of the extraction an image."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stems = write_list(folder / "train.txt", data.train)
        store, started = folder / "feats.zarr", time.monotonic()
        backbone = BackboneOptions(size=SIZES.get(data.name), device=given.device, **options)
        config = ExtractConfig(data.images, store, (given.checkpoint,), backbone=backbone)
        extract(replace(config, list_file=stems))
        seconds = (time.monotonic() - started) / len(data.train)
        scores = []
        for seed in range(given.seeds):
            done = fit(
                FitConfig(
                    stores=(store,),
                    labels=data.labels,
                    out=folder / f"model{seed}",
                    list_file=stems,
                    folds=given.folds,
                    max_steps=given.max_steps,
                    members=given.members,
                    seed=seed,
                    device=given.device,
                )
            )
            assert done.cross_validation is not None
            scores.append(done.cross_validation["mean_iou"])
    return {"mean_iou": scores, "seconds_an_image": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sets, as real_data.py's")
    parser.add_argument("--sets", type=lambda text: text.split(","))
    parser.add_argument("--checkpoint", default=BUILTIN)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/averaging.json"))
    parser.add_argument("--device")
    given = parser.parse_args()
    told = [given.checkpoint, given.seeds, given.folds, given.members, given.max_steps]
    results = json.loads(given.out.read_text()) if given.out.is_file() else {}
    for data in find_sets(given.data, given.sets):
        for name, options in VARIANTS.items():
            key = json.dumps([data.name, name, *told])
            if key not in results:
                results[key] = measure(data, options, given)
                given.out.parent.mkdir(parents=True, exist_ok=True)
                write_whole(given.out, json.dumps(results, indent=1).encode())
            found = results[key]
            scores = ", ".join(f"{score:.3f}" for score in found["mean_iou"])
            print(
                f"{data.name:<14}{name:<18} mIoU {fmean(found['mean_iou']):.3f} ({scores}), "
                f"extract {found['seconds_an_image']:.2f} s an image",
                flush=True,
            )


if __name__ == "__main__":
    main()
