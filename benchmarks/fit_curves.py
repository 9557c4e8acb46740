"""How good an ensemble is by how long it was trained: dseg's recipe against the published loop.

Features of real photographs, by the built-in checkpoint::

    python benchmarks/fit_curves.py data/ --out docs        # all sets, three seeds; about an hour
    python benchmarks/fit_curves.py data/ --sets camvid --seeds 1
    python benchmarks/fit_curves.py --render --out docs     # table and plot again

Only images of train.txt take part: half of them, drawn by the seed, are learnt from, the others
scored, so that nothing is decided by the test images. All ways learn from the same pixels, at most
``--pixels`` an image, held in memory; the seconds are those of training (of finding and applying
the reduction too), of ten members, run by turns.

==============  ==================================================================================
published       one member after the other, each until its losses stand still (30 minutes at most)
whole           all members at once on all channels, for so many steps
reduced         the same on the principal components, a share of the channels
==============  ==================================================================================

Writes ``fit-curves.json`` into ``--out`` after every training; the same command goes on where it
stopped. From it come ``fit-curves.md`` and ``fit-curves.png``. Sizes of rows are those of
``real_data.py``.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from dseg.store.errors import DsegError
from fitting.pixels import Drawn, drawn_pixels
from fitting.report import draw, tables
from fitting.runs import MEMBERS, run_ours, run_published
from real.layout import DataSet, find_sets
from real.results import Key, Record, Results
from real_data import SIZES

FILE = "fit-curves"
LENGTHS = (125, 250, 500, 1000, 2000, 4000)
SHARES = (0.2,)
LIMIT = 1800.0


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of sets, or one set")
    parser.add_argument("--sets", type=lambda text: text.split(","), help="some: camvid,clothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pixels", type=int, default=2000, help="at most, an image (2000)")
    parser.add_argument("--lengths", type=_numbers(int), default=LENGTHS, help="steps")
    parser.add_argument("--shares", type=_numbers(float), default=SHARES, help="of the channels")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder (results)")
    parser.add_argument("--work", type=Path, help="for the stores; else a temporary folder")
    parser.add_argument("--render", action="store_true", help="table and plot from --out alone")
    given = parser.parse_args(words)
    if given.data is None and not given.render:
        parser.error("give a folder of sets, or --render")
    return given


def _numbers(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(kind(word) for word in text.split(","))


Training = Callable[[Drawn, Drawn, int], dict[str, Any]]


def trainings(
    given: argparse.Namespace, dims: int
) -> Iterator[tuple[str, dict[str, Any], Training]]:
    """Yield each way with its settings: the name of a row, what decides it, the call."""
    yield "published", {"limit": LIMIT}, lambda a, b, seed: run_published(a, b, seed, LIMIT)
    for steps in given.lengths:
        for share in (None, *given.shares):
            reduced_to = None if share is None else round(share * dims)
            name = "whole" if share is None else f"reduced to {share:.0%}"
            yield (
                f"{name}, {steps} steps",
                {"steps": steps, "reduced_to": reduced_to},
                lambda a, b, seed, steps=steps, k=reduced_to: run_ours(a, b, seed, steps, k),
            )


def run_set(data: DataSet, given: argparse.Namespace, work: Path, results: Results) -> None:
    drawn = drawn_pixels(data, SIZES.get(data.name), given.pixels, work)
    common = {"data": data.fingerprint, "spec": drawn.spec.hash, "pixels": given.pixels}
    for seed in range(given.seeds):
        learnt, scored = drawn.halves(seed)
        for name, settings, training in trainings(given, drawn.spec.dims):
            key = Key(data.name, name, seed, {**common, **settings, "members": MEMBERS})
            if results.find(key) is not None:
                continue
            found = training(learnt, scored, seed)
            seconds = {"fit": found.pop("seconds")}
            notes = {"cores": os.cpu_count(), "threads": torch.get_num_threads()}
            results.add(Record(key, found, seconds, {}, {}, notes))
            print(
                f"{data.name}, seed {seed}, {name}: mIoU {found['mean_iou']:.3f}, AUC "
                f"{found['auc']:.3f}, {seconds['fit']:.1f} s",
                flush=True,
            )


def main(words: list[str] | None = None) -> None:
    given = arguments(words)
    results = Results(given.out / f"{FILE}.json")
    if not given.render:
        started = time.monotonic()
        sets = find_sets(given.data, given.sets)
        count = 1 + len(given.lengths) * (1 + len(given.shares))
        print(
            f"{len(sets)} sets, {given.seeds} seeds, {count} trainings of each; about an hour "
            "for three sets on two CPU cores. The same command goes on after a break",
            flush=True,
        )
        with tempfile.TemporaryDirectory() as temporary:
            work = given.work or Path(temporary)
            for data in sets:
                run_set(data, given, work, results)
        print(f"{(time.monotonic() - started) / 60:.0f} minutes")
    text = tables(results)
    (given.out / f"{FILE}.md").write_text(text, encoding="utf-8")
    draw(results, given.out / f"{FILE}.png")
    print(f"\n{text}")


if __name__ == "__main__":
    try:
        main()
    except DsegError as error:
        raise SystemExit(f"Error: {error}") from error
