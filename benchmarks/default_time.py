"""Time an image of the default features against the built-in diffusion model: extract and predict.

    python benchmarks/default_time.py data/camvid

Both in one run, by turns, on the same images: the network alone, `dseg extract` into a new store,
and `dseg predict` of that store by an ensemble of ten members.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from dseg.extract.checkpoints.builtin import BUILTIN
from dseg.extract.concatenated import ConcatenatedBackbone
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.feature_choice import features_of
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from real.layout import DataSet, read_set, write_list
from timing import seconds

JOBS = ("network", "extract", "predict")
OLD, NEW = "built-in diffusion model", "default"
CHECKPOINTS = {OLD: (BUILTIN,), NEW: ()}


def network(checkpoints: tuple[str, ...], count: int) -> Callable[[], None]:
    """Return a run of the networks alone over some inputs."""
    backbone, _ = features_of(ExtractConfig(Path(), Path(), checkpoints))
    parts = backbone.backbones if isinstance(backbone, ConcatenatedBackbone) else (backbone,)
    inputs = [torch.rand(1, 3, *part.row_shape) * 2 - 1 for part in parts]

    def run() -> None:
        for _ in range(count):
            backbone(*inputs)

    return run


def jobs(data: DataSet, work: Path, name: str, listed: Path, count: int) -> dict[str, Callable]:
    """Extract and fit once; return the jobs that are timed."""
    store, model, anew = (work / f"{name}{end}" for end in (".zarr", "-model", "-anew"))
    extract(ExtractConfig(data.images, store, CHECKPOINTS[name], list_file=listed))
    fit(FitConfig((store,), data.labels, model, list_file=listed, max_steps=20))

    def extract_anew() -> None:
        extract(ExtractConfig(data.images, anew, CHECKPOINTS[name], list_file=listed))

    def predict_anew() -> None:
        shutil.rmtree(anew)
        predict(PredictConfig((store,), model, anew))
        shutil.rmtree(anew)

    runs = (network(CHECKPOINTS[name], count), extract_anew, predict_anew)
    return dict(zip(JOBS, runs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="one set, as real_data.py's")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    data = read_set(given.data)
    stems = data.train[: given.images]
    found: dict[tuple[str, str], list[float]] = {}
    with TemporaryDirectory() as folder:
        work = Path(folder)
        listed = write_list(work / "list.txt", stems)
        runs = {name: jobs(data, work, name, listed, len(stems)) for name in CHECKPOINTS}
        for _ in range(given.rounds):
            for name in CHECKPOINTS:
                for job in JOBS:
                    found.setdefault((name, job), []).append(seconds(runs[name][job]) / len(stems))
    each = {key: median(values) for key, values in found.items()}
    for name in CHECKPOINTS:
        words = ", ".join(f"{job} {each[name, job]:.3f}" for job in JOBS)
        print(f"{name:<26}{words} s an image")
    ratios = {job: each[NEW, job] / each[OLD, job] for job in JOBS}
    both = [each[name, "extract"] + each[name, "predict"] for name in (NEW, OLD)]
    words = ", ".join(f"{job} {ratio:.2f}" for job, ratio in ratios.items())
    print(f"default / built-in: {words}, extract and predict {both[0] / both[1]:.2f}")
    beside = each[NEW, "extract"] / each[NEW, "network"] - 1
    print(f"what extract takes beside the default's networks: {100 * beside:.0f} % of their time")


if __name__ == "__main__":
    main()
