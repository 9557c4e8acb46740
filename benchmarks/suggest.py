"""Whether labels of suggested images bring more than those of random ones.

    python benchmarks/suggest.py data/ work/ --sets camvid,car_parts,clothing

Of each set, images that have a label map and are in no list of test images are divided, by a draw,
into those to score on and those that may be labelled (the pool). Both ways begin with the same few
random images; then images are added, chosen at random, by uncertainty alone, or by `dseg suggest`,
whose model is fitted anew before each choice. mIoU on the images to score on, which no choice sees;
test images are not touched. Differences between ways are taken within a draw. The same call
continues where it stopped.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import numpy as np
from dseg.classify.label_sets.files import find_label_files
from dseg.pipelines.evaluate.config import EvaluateConfig
from dseg.pipelines.evaluate.run import evaluate
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.suggest.config import SuggestConfig
from dseg.pipelines.suggest.run import suggest
from dseg.store.whole_file import write_whole
from real.layout import DataSet, find_sets, write_list
from scipy.stats import t as student

WAYS = ("random", "uncertainty", "suggest")
ALL = 10**9


def divided(data: DataSet, pool: int, scored: int, draw: int) -> tuple[list[str], list[str]]:
    """Return images that may be labelled, and others to score on."""
    labels, test = find_label_files(data.labels).files, set(data.test)
    stems = sorted(stem for stem in data.paths if stem in labels and stem not in test)
    order = np.random.default_rng(draw).permutation(len(stems)).tolist()
    mixed = [stems[k] for k in order]
    return mixed[:pool], mixed[pool : pool + scored]


class Trial:
    """One draw of one set."""

    def __init__(self, data: DataSet, store: Path, work: Path, given: argparse.Namespace) -> None:
        self._data, self._store, self._work, self._given = data, store, work, given
        self.pool, self.scored = divided(data, given.pool, given.scored, given.draw)

    def fitted(self, stems: list[str]) -> Path:
        model = self._work / "model"
        train = write_list(self._work / "train.txt", stems)
        fit(
            FitConfig(
                (self._store,),
                self._data.labels,
                model,
                list_file=train,
                members=self._given.members,
                max_steps=self._given.max_steps,
                seed=self._given.draw,
                overwrite=True,
            )
        )
        return model

    def score(self, model: Path) -> float:
        masks, listed = self._work / "masks", write_list(self._work / "score.txt", self.scored)
        predict(PredictConfig((self._store,), model, masks, list_file=listed, overwrite=True))
        return evaluate(EvaluateConfig(masks, self._data.labels, list_file=listed)).mean_iou

    def chosen(self, way: str, stems: list[str], model: Path, count: int) -> list[str]:
        left = [stem for stem in self.pool if stem not in stems]
        if way == "random":
            return left[:count]  # the pool is in a random order
        listed = write_list(self._work / "left.txt", left)
        many = ALL if way == "uncertainty" else count
        found = suggest(SuggestConfig((self._store,), model, many, list_file=listed)).suggestions
        if way == "uncertainty":
            found = tuple(sorted(found, key=lambda one: -one.uncertainty))[:count]
        return [one.stem for one in found]


def table(name: str, scores: dict[str, dict[str, float]], counts: list[int]) -> list[str]:
    """Return lines: means by way, and differences to random with intervals, of whole draws."""
    lines = []
    by_draw: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for key, value in scores.items():
        draw, way, count = key.split()
        by_draw[draw][way, int(count)] = value["miou"]
    whole = [one for one in by_draw.values() if len(one) == len(WAYS) * len(counts)]
    for way in WAYS if whole else ():
        cells = []
        for count in counts:
            values = [one[way, count] for one in whole]
            gains = np.array([one[way, count] - one["random", count] for one in whole])
            cell = f"{fmean(values):.3f}"
            if way != "random" and count > counts[0] and len(gains) > 1:
                half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
                cell += f" ({gains.mean():+.3f} ± {half:.3f})"
            cells.append(cell)
        lines.append(f"| {name}, {len(whole)} draws | {way} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sets, as real_data.py's")
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", type=lambda text: text.split(","))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument(
        "--counts", type=lambda text: [*map(int, text.split(","))], default="4,8,16"
    )
    parser.add_argument("--pool", type=int, default=100)
    parser.add_argument("--scored", type=int, default=30)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--max-steps", type=int, default=1000)
    given = parser.parse_args()
    counts = (
        given.counts if isinstance(given.counts, list) else [*map(int, given.counts.split(","))]
    )
    sets = find_sets(given.data, given.sets)
    results: dict[str, dict[str, dict[str, float]]] = {}
    file = given.work / "suggest.json"
    if file.is_file():
        results = json.loads(file.read_text())
    for draw in range(given.draws):  # by turns, so that an early end has something of each
        given.draw = draw
        for data in sets:
            scores = results.setdefault(data.name, {})
            work = given.work / data.name
            work.mkdir(parents=True, exist_ok=True)
            if all(f"{given.draw} {way} {count}" in scores for way in WAYS for count in counts):
                continue
            trial = Trial(data, work / "feats.zarr", work, given)
            listed = write_list(work / "all.txt", [*trial.pool, *trial.scored])
            extract(ExtractConfig(data.images, work / "feats.zarr", list_file=listed))
            for way in WAYS:
                stems = trial.pool[: counts[0]]
                for at, count in enumerate(counts):
                    key = f"{given.draw} {way} {count}"
                    model = trial.fitted(stems)
                    if at == 0 and way != WAYS[0]:  # the same images, the same model
                        scores[key] = scores[f"{given.draw} {WAYS[0]} {count}"]
                    else:
                        scores[key] = {"miou": trial.score(model)}
                    print(data.name, key, f"{scores[key]['miou']:.4f}", flush=True)
                    if at + 1 < len(counts):
                        more = counts[at + 1] - count
                        stems = [*stems, *trial.chosen(way, stems, model, more)]
            write_whole(file, json.dumps(results, indent=1).encode())
    print(f"| set | images chosen by | {' | '.join(f'{n} images' for n in counts)} |")
    print(f"| --- | --- |{' --- |' * len(counts)}")
    for data in sets:
        print("\n".join(table(data.name, results.get(data.name, {}), counts)))


if __name__ == "__main__":
    main()
