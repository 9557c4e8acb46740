"""A teacher and its students on real sets: mIoU on test images, time an image, size on disk.

    python benchmarks/distil.py data/ work/ --sets camvid,car_parts --students fpn --minutes 15
    python benchmarks/distil.py data/ work/ --steps 400 --drawn 100 --self-train

On each set and seed: the default features of the images of train.txt, an ensemble fitted on them,
and each student distilled from it on the images of unlabelled.txt (without that list: all images
that neither train.txt nor test.txt names), with the labelled ones beside them. With --drawn the
same on images that the built-in diffusion model draws; with --self-train the ensemble is also
fitted a second time with what it says of unlabelled images, kept or not. Label maps of
unlabelled images are not read; test images are only predicted and scored. Time is that of this
machine, teacher and students by turns in one run: `dseg predict` of images, files included, and
masks alone, without files. The same command goes on where it stopped, and with other students adds
them; it prints the table and writes it to work/distil.md.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from dseg.distil.student.files import read_student
from dseg.extract.checkpoints.builtin import BUILTIN
from dseg.extract.images.files import find_images
from dseg.extract.networks.devices import choose_device
from dseg.generate.sampler import SamplerSettings
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.distil.config import DistilConfig
from dseg.pipelines.distil.run import distil
from dseg.pipelines.evaluate.config import EvaluateConfig
from dseg.pipelines.evaluate.run import evaluate
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.features.sources import Segmentable
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.inputs.image_list import read_list
from dseg.pipelines.masks.mask_model import ImageOptions
from dseg.pipelines.masks.open_model import open_mask_model
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.synthesize.config import SynthesizeConfig
from dseg.pipelines.synthesize.run import synthesize
from dseg.store.whole_file import write_whole
from real.layout import DataSet, find_sets, write_list
from timing import seconds

TEACHER, SELF_TRAINED = "teacher", "self-trained"
_OF_DRAWN = ", of drawn images"
_TIMED, _ROUNDS = 12, 3  # images


@dataclass(frozen=True)
class Case:
    """One set at one seed, and where its files lie.

    Parameters
    ----------
    data : DataSet
    seed : int
    work : Path
        Folder of this set and seed.
    """

    data: DataSet
    seed: int
    work: Path

    def list_of(self, name: str, stems: Sequence[str]) -> Path:
        """Write a list of images; return its path."""
        return write_list(self.work / f"{name}.txt", stems)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Stems of the images that the teacher segments."""
        listed = self.data.folder / "unlabelled.txt"
        if listed.is_file():
            return read_list(listed)
        known = {*self.data.train, *self.data.test}
        return tuple(stem for stem in self.data.paths if stem not in known)


def make_teacher(case: Case) -> Path:
    """Return the folder of the ensemble, fitted if it is not there yet."""
    model = case.work / TEACHER
    if not (model / "model.json").is_file():
        store, train = case.work / "train.zarr", case.list_of("train", case.data.train)
        extract(ExtractConfig(case.data.images, store, list_file=train))
        fit(FitConfig((store,), case.data.labels, model, list_file=train, seed=case.seed))
    return model


def make_student(case: Case, network: str, given: argparse.Namespace) -> Path:
    """Return the folder of a student, distilled if it is not there yet."""
    out = case.work / network
    config = DistilConfig(
        case.data.images,
        case.data.labels,
        make_teacher(case),
        out,
        network=network,
        size=given.size,
        steps=given.steps,
        seconds=60 * given.minutes,
        seed=case.seed,
        list_file=case.list_of("unlabelled", case.unlabelled[: given.images]),
        labelled_file=case.list_of("train", case.data.train),
    )
    distil(config, Progress())
    return out


def make_student_of_drawn(case: Case, network: str, given: argparse.Namespace) -> Path:
    """Return the folder of a student of drawn images, distilled if it is not there yet."""
    drawn, out = case.work / "drawn", case.work / f"{network}{_OF_DRAWN}"
    settings = SamplerSettings(respacing="ddim25")
    teacher = make_teacher(case)
    synthesize(SynthesizeConfig(teacher, drawn, given.drawn, BUILTIN, settings=settings))
    config = DistilConfig(
        drawn,
        case.data.labels,
        out=out,
        images=case.data.images,
        network=network,
        size=given.size,
        steps=given.steps,
        seconds=60 * given.minutes,
        seed=case.seed,
        labelled_file=case.list_of("train", case.data.train),
    )
    distil(config, Progress())
    return out


def make_self_trained(case: Case, given: argparse.Namespace) -> Path:
    """Return the folder of what `fit --self-train` makes, fitted if it is not there yet."""
    model, train = case.work / SELF_TRAINED, case.list_of("train", case.data.train)
    if not (model / "model.json").is_file():
        make_teacher(case)
        store, pile = case.work / "train.zarr", case.work / "pile.zarr"
        some = case.list_of("pile", case.unlabelled[: given.pile])
        extract(ExtractConfig(case.data.images, pile, list_file=some))
        labels = case.data.labels
        config = FitConfig(
            (store,), labels, model, list_file=train, seed=case.seed, self_train=(pile,)
        )
        fit(config)
    return model


def score(case: Case, model: Path) -> float:
    """Return the mIoU of a model's masks on the test images."""
    masks, test = case.work / f"masks-{model.name}", case.list_of("test", case.data.test)
    predict(PredictConfig((case.data.images,), model, masks, list_file=test))
    return evaluate(EvaluateConfig(masks, case.data.labels, list_file=test)).mean_iou


def timed(case: Case, models: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Return seconds an image of each model, by turns: predicted with files, and masks alone."""
    stems = case.data.test[:_TIMED]
    listed, found = case.list_of("timed", stems), dict[tuple[str, str], list[float]]()
    masks = {name: masks_alone(case, model, stems) for name, model in models.items()}
    with TemporaryDirectory() as folder:
        for round_ in range(_ROUNDS):
            for name, model in models.items():
                config = PredictConfig(
                    (case.data.images,), model, Path(folder, f"{name}-{round_}"), list_file=listed
                )
                for job, run in (("predict", partial(predict, config)), ("masks", masks[name])):
                    found.setdefault((name, job), []).append(seconds(run) / len(stems))
    return {
        name: {job: median(found[name, job]) for job in ("predict", "masks")} for name in models
    }


def masks_alone(case: Case, model: Path, stems: Sequence[str]) -> Callable[[], None]:
    """Return a run of a model over images that are loaded already, but for their pixels."""
    opened = open_mask_model(model, choose_device(None))
    source = opened.images(find_images([case.data.images]), ImageOptions(), Progress())
    segment = opened.segmenter(source)

    def run() -> None:
        for image in source.images(stems, lambda *_: False):
            if isinstance(image, Segmentable):
                segment(image, want_uncertainty=False)

    return run


def measure(case: Case, given: argparse.Namespace, known: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a set and seed: scores, times and sizes."""
    models = {TEACHER: make_teacher(case)}
    models |= {network: make_student(case, network, given) for network in given.students}
    if given.drawn:
        models |= {
            f"{network}{_OF_DRAWN}": make_student_of_drawn(case, network, given)
            for network in given.students
        }
    facts = dict(known)
    times = {} if models.keys() <= known.keys() else timed(case, models)
    for name in times:
        model = models[name]
        facts[name] = {"test_miou": score(case, model), **times[name]}
        if name != TEACHER:
            student = read_student(model)
            facts[name] |= {
                "steps": student.training["steps"],
                "agreement": student.training["held_out_miou"],
                "parameters": sum(weight.numel() for weight in student.network.parameters()),
                "side": student.view.side,
            }
    if given.self_train and SELF_TRAINED not in known:
        model = make_self_trained(case, given)
        about = json.loads((model / "model.json").read_text())["extra"]["self_training"]
        facts[SELF_TRAINED] = {"test_miou": score(case, model), "about": about}
    return facts


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the means over seeds as Markdown."""
    lines = [
        "| set | model | seeds | test mIoU | less teacher | agreement | predict, s | masks, s "
        "| of the teacher's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    sets = sorted({key.rpartition("-")[0] for key in results})
    for set_ in sets:
        runs = [facts for key, facts in results.items() if key.rpartition("-")[0] == set_]
        names = dict.fromkeys(name for facts in runs for name in facts)
        for name in names:
            known = [(facts[name], facts[TEACHER]) for facts in runs if name in facts]
            if known:
                lines.append(f"| {set_} | {name} | {_row(known)} |")
    return "\n".join(lines) + "\n"


def _row(known: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    def mean(key: str, which: int = 0) -> float:
        return fmean(pair[which][key] for pair in known)

    agreement = [own.get("agreement") for own, _ in known]
    shown = "–" if None in agreement else f"{fmean(agreement):.3f}"  # type: ignore[type-var]
    less = mean("test_miou") - mean("test_miou", 1)
    scores = f"{len(known)} | {mean('test_miou'):.3f} | {less:+.3f} | {shown} | "
    if any("predict" not in own for own, _ in known):  # an ensemble as the teacher is
        return scores + "– | – | –"
    shares = [mean(job) / mean(job, 1) for job in ("predict", "masks")]
    return (
        scores + f"{mean('predict'):.3f} | {mean('masks'):.3f} | {shares[0]:.2f}, {shares[1]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sets, as real_data.py's")
    parser.add_argument("work", type=Path, help="folder for stores, models, students and results")
    parser.add_argument("--sets", type=lambda text: text.split(","))
    parser.add_argument("--students", type=lambda text: text.split(","), default=["fpn"])
    parser.add_argument("--minutes", type=float, default=15, help="of training, each student")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, help="side at which students see images")
    parser.add_argument("--images", type=int, help="at most so many unlabelled images")
    parser.add_argument("--steps", type=int, help="of training, if these end sooner")
    parser.add_argument("--drawn", type=int, default=0, help="images that a student learns from")
    parser.add_argument("--self-train", action="store_true")
    parser.add_argument("--pile", type=int, default=100, help="unlabelled images of self-training")
    given = parser.parse_args()
    path = given.work / "distil.json"
    for data in find_sets(given.data, given.sets):
        for seed in range(given.seeds):
            key = f"{data.name}-{seed}"
            case = Case(data, seed, given.work / key)
            case.work.mkdir(parents=True, exist_ok=True)
            results = json.loads(path.read_text()) if path.is_file() else {}
            results[key] = measure(case, given, results.get(key, {}))
            write_whole(path, json.dumps(results, indent=1).encode())
            print(table(results), flush=True)
    write_whole(given.work / "distil.md", table(results).encode())


if __name__ == "__main__":
    main()
