"""``dseg distil``: a small network that learns what an ensemble says of many images."""

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from ...classify.labels.classes import Classes
from ...distil.data.augmentation import Augmentation
from ...distil.data.pairs import TrainingPairs, crop_of
from ...distil.networks.registry import student_kind
from ...distil.run.folder import StudentFolder
from ...distil.student.files import Student, write_student
from ...distil.train.recipe import Recipe, paper_recipe
from ...distil.train.training import StudentTraining
from ...extract.networks.devices import choose_device
from ...pretrain.run.loop import Length, TrainingStatus, train
from ...pretrain.train.optimisation import mixed_seed
from ...pretrain.train.precision import precision_to_continue
from ...store.claims import claimed
from ...store.errors import InputError
from ..console.optional_packages import missing_package, require
from ..console.progress import Progress
from ..inputs.image_list import duration
from ..training.memory import (
    default_memory,
    keep_freed_memory,
    memory_errors,
    return_freed_memory,
)
from ..training.progress_bar import training_bar
from .config import PAPER_EPOCHS, DistilConfig, DistilSummary
from .curve import draw_curve
from .material import Material, real_material, synthetic_material
from .record import Record
from .sources import is_synthetic

__all__ = ["distil"]

_LOG_EVERY = 10.0  # seconds
_EVALUATIONS = 10  # of the held-out images, over a run
_SIDES = ("left", "right")


def distil(config: DistilConfig, progress: Progress | None = None) -> DistilSummary:
    """Train a student; go on where an earlier run stopped.

    Raises
    ------
    DsegError
        If source, labels and model do not fit, the folder holds something else or a run of other
        settings, the run diverges, or cannot be written.
    KeyboardInterrupt
        If the process was asked to stop; the state is saved.
    """
    progress = progress or Progress()
    return_freed_memory()
    device, folder = choose_device(config.device), StudentFolder(config.out)
    _check(config, folder)

    def check(classes: Classes, settings: Mapping[str, Any]) -> None:
        every = {**settings, **_own_settings(config, classes)}
        folder.state_to_continue(every, Length(), overwrite=config.overwrite)

    claim = claimed(config.out, None, "dseg distil", warn=progress.warn)
    with claim, memory_errors("a smaller --batch-size or --size"):
        if is_synthetic(config.source):
            material = synthetic_material(config, folder, check, progress)
        else:
            material = real_material(config, folder, device, check, progress)
        return _Run(config, material, folder, device, progress).outcome()


def _check(config: DistilConfig, folder: StudentFolder) -> None:
    """Refuse what can be seen before anything is read."""
    kind = student_kind(config.network)
    if kind.needs is not None:
        require(kind.needs)
    if config.recipe == "paper" and config.network != "deeplab":
        raise InputError(
            f"--recipe paper is of DeepLabV3-ResNet-101: add --network deeplab, not "
            f"'{config.network}'"
        )
    if config.network in ("deeplab", "mobilenet") and config.batch_size == 1:
        raise InputError(
            f"{kind.title} normalises by the batch, which has to be of at least two images: give a "
            "larger --batch-size"
        )
    out = config.out.resolve()
    for given in (config.source, config.images, config.labels, config.model):
        if given is not None and (out == given.resolve() or given.resolve() in out.parents):
            raise InputError(f"--out '{config.out}' is inside of '{given}': give another folder")
    folder.refuse_others()


def _recipe(config: DistilConfig) -> Recipe:
    recipe = paper_recipe(config.seed) if config.recipe == "paper" else Recipe(seed=config.seed)
    if config.batch_size is not None:
        recipe = replace(recipe, batch_size=config.batch_size)
    if config.learning_rate is not None:
        recipe = replace(recipe, learning_rate=config.learning_rate)
    return recipe


def _augmentation(config: DistilConfig, names: tuple[str, ...]) -> Augmentation:
    """Return how examples are varied: mirrored unless that would swap two classes."""
    sided = any(side in name.lower() for name in names for side in _SIDES)
    return Augmentation(flip=not sided if config.flip is None else config.flip)


class _Run:
    """One run: what it learns from, what it trains, and the folder that it writes."""

    def __init__(
        self,
        config: DistilConfig,
        material: Material,
        folder: StudentFolder,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.config, self.material, self.folder = config, material, folder
        self.device, self.progress = device, progress
        self.recipe = _recipe(config)
        self.augmentation = _augmentation(config, material.classes.names)
        self.length = config.length(len(material.pairs), self.recipe.batch_size)
        self.settings = {**material.settings, **_own_settings(config, material.classes)}
        overwrite = config.overwrite
        self.state = folder.state_to_continue(self.settings, self.length, overwrite=overwrite)
        self.done = int(self.state["step"]) if self.state else 0
        self.seconds = float(self.state["seconds"]) if self.state else 0.0
        before = self.state.get("precision") if self.state else None
        self.precision = precision_to_continue(config.precision, before, device)

    def outcome(self) -> DistilSummary:
        """Do what is asked for, if anything is left to do."""
        over = self.length.progress(self.done, self.seconds) >= 1
        facts = self.folder.result(self.done) if self.state and over else {}
        if facts:
            self.progress.say(
                f"'{self.config.out}' is finished: {self.done} steps, {duration(self.seconds)}. "
                "Increase --steps or --time to continue, or use --overwrite to start again"
            )
            return self._summary(facts.get("loss"), facts.get("held_out_miou"), finished=True)
        return self._work()

    def _work(self) -> DistilSummary:
        """Train, and leave the student in its folder."""
        torch.manual_seed(mixed_seed(self.recipe.seed, 0))
        start = student_kind(self.config.network).begin(len(self.material.classes))
        self._describe(start.origin)
        self.folder.prepare(self.done if self.state else None)
        training = StudentTraining(start, self.recipe, self.device, self.precision)
        record = self._record(training)
        if self.state:
            record.restore(*self.folder.state())
        pairs = self._pairs()
        keep_freed_memory()
        last = self._train(training, pairs, record)
        if last.stopped:
            out = self.config.out
            self.progress.say(f"stopped after step {last.step}; the state is saved in '{out}'")
            raise KeyboardInterrupt
        training.averaged.load_state_dict(record.weights())
        self._write(training, record, last)
        self.done, self.seconds = last.step, last.seconds
        return self._summary(record.loss, record.best, lost=pairs.lost)

    def _train(
        self, training: StudentTraining, pairs: TrainingPairs, record: Record
    ) -> TrainingStatus:
        reported: set[str] = set()
        with training_bar(self.progress, self.length, self.done, self.seconds, "distil") as show:

            def note(moment: TrainingStatus) -> None:
                show(moment)
                for name in sorted(pairs.lost.keys() - reported):
                    reported.add(name)
                    self.progress.warn(f"skipped from now on: {pairs.lost[name]}")
                record.note(moment)

            return train(
                training,
                pairs,
                self.length,
                seconds=self.seconds,
                every=min(_LOG_EVERY, self.config.save_seconds),
                workers=self.config.workers or min(8, os.cpu_count() or 1),
                due_at=record.due,
                advance=note,
            )

    def _record(self, training: StudentTraining) -> Record:
        return Record(
            self.folder,
            training,
            self.material.held_out,
            len(self.material.classes),
            settings=self.settings,
            evaluations=PAPER_EPOCHS if self.recipe.name == "paper" else _EVALUATIONS,
            save_seconds=self.config.save_seconds,
            say=self.progress.say,
        )

    def _pairs(self) -> TrainingPairs:
        material = self.material
        return TrainingPairs(
            material.pairs,
            material.labelled,
            self.recipe.labelled_share,
            crop_of(material.pairs),
            self.augmentation,
            len(material.classes),
            self.recipe.seed,
            default_memory(torch.device("cpu")) // 2,
        )

    def _write(self, training: StudentTraining, record: Record, last: TrainingStatus) -> None:
        material = self.material
        facts = {
            "steps": last.step,
            "seconds": round(last.seconds, 1),
            "images": material.images,
            "labelled": len({example.image for example in material.labelled}),
            "held_out": material.held_out_images,
            "held_out_against": material.against,
            "held_out_miou": record.best,
            "best_step": record.best_step or last.step,
            "loss": record.loss,
            "recipe": _plain(self.recipe),
            "augmentation": asdict(self.augmentation),
            "device": self.device.type,
            "precision": str(self.precision).removeprefix("torch."),
        }
        student = Student(
            training.averaged,
            self.config.network,
            material.classes,
            material.view,
            material.white,
            material.teacher,
            facts,
            material.extra,
        )
        write_student(student, self.config.out)
        self._draw()

    def _draw(self) -> None:
        try:
            draw_curve(self.folder.log.lines(), self.folder.curve, self.material.against)
        except ModuleNotFoundError as error:
            missing = missing_package(error.name or "")
            if missing is None:
                raise
            self.progress.warn(f"no curve: {missing}")

    def _describe(self, origin: str) -> None:
        material, say = self.material, self.progress.say
        kind, view = student_kind(self.config.network), material.view
        seen = "in tiles of" if view.fit == "tile" else "with a longer side of"
        say(f"student: {kind.title}, {origin}; images {seen} {view.side} pixels, on {self.device}")
        labelled = len({example.image for example in material.labelled})
        say(
            f"{material.images} images, {labelled} labelled ones beside them, "
            f"{material.held_out_images} held out"
            + (
                f"; continues after {self.done} steps, {duration(self.seconds)}"
                if self.done
                else ""
            )
        )
        if not material.held_out:
            say("too few images to hold one out: the last weights are kept, not the best")

    def _summary(
        self,
        loss: float | None,
        best: float | None,
        *,
        lost: dict[str, str] | None = None,
        finished: bool = False,
    ) -> DistilSummary:
        material = self.material
        return DistilSummary(
            student=str(self.config.out),
            images=material.images,
            labelled=len({example.image for example in material.labelled}),
            held_out=material.held_out_images,
            steps=self.done,
            seconds=self.seconds,
            loss=loss,
            held_out_miou=best,
            held_out_against=material.against,
            failed={**material.failed, **(lost or {})},
            finished_before=finished,
        )


def _own_settings(config: DistilConfig, classes: Classes) -> dict[str, Any]:
    """Return what of the command's own settings a run must keep when it goes on."""
    return {
        "network": config.network,
        "recipe": _plain(_recipe(config)),
        "augmentation": asdict(_augmentation(config, classes.names)),
        "classes": list(classes.names),
    }


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON can hold it, which has no infinity."""
    return {k: None if v == float("inf") else v for k, v in asdict(recipe).items()}
