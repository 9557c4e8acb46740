"""One run of ``dseg distil``: what it trains, on what, and the folder that it writes."""

import os
from dataclasses import asdict, replace
from typing import Any

import torch

from ...classify.labels.classes import Classes
from ...distil.data.augmentation import Augmentation
from ...distil.data.pairs import TrainingPairs, crop_of
from ...distil.networks.registry import student_kind
from ...distil.networks.start import Start
from ...distil.run.folder import StudentFolder
from ...distil.student.files import Student, write_student
from ...distil.train.recipe import Recipe, paper_recipe
from ...distil.train.training import StudentTraining
from ...pretrain.run.loop import TrainingStatus, train
from ...pretrain.train.optimisation import mixed_seed
from ...pretrain.train.precision import precision_to_continue
from ..console.disk_space import refuse_too_large
from ..console.optional_packages import missing_package
from ..console.progress import Progress
from ..inputs.image_list import duration
from ..training.memory import default_memory, keep_freed_memory
from ..training.progress_bar import training_bar
from .config import PAPER_EPOCHS, DistilConfig, DistilSummary
from .curve import draw_curve
from .material import Material
from .record import Record

__all__ = ["Session", "own_settings", "room_for_examples"]

_LOG_EVERY = 10.0  # seconds
_EVALUATIONS = 10  # of the held-out images, over a run
_BYTES_A_WEIGHT = 4 * 5  # the weight, its average, its best value and two moments
_SIDES = ("left", "right")


def room_for_examples() -> int:
    """Return the bytes of memory in which examples are kept once they are read."""
    return default_memory(torch.device("cpu")) // 2


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


class Session:
    """One run: what it learns from, what it trains, and the folder that it writes.

    Parameters
    ----------
    config : DistilConfig
    material : Material
    folder : StudentFolder
    device : torch.device
    progress : Progress
    examples : int, optional
        In an epoch, where the material is only a part of them.

    Attributes
    ----------
    recipe : Recipe
    length : Length
        When it ends.
    done : int
    seconds : float
        Steps taken by earlier sessions, and their time.
    evaluations : int
        Of the held-out images, over the run.

    Raises
    ------
    InputError
        If the folder holds a run of other settings.
    DsegError
        If its state is damaged.
    """

    def __init__(
        self,
        config: DistilConfig,
        material: Material,
        folder: StudentFolder,
        device: torch.device,
        progress: Progress,
        examples: int | None = None,
    ) -> None:
        self.config, self.material, self.folder = config, material, folder
        self.device, self.progress = device, progress
        self.recipe = _recipe(config)
        self.augmentation = _augmentation(config, material.kind.classes.names)
        self.evaluations = PAPER_EPOCHS if self.recipe.name == "paper" else _EVALUATIONS
        self.length = config.length(examples or len(material.pairs), self.recipe.batch_size)
        self.settings = {**material.settings, **own_settings(config, material.kind.classes)}
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
        start = self.start()
        self._describe(start.origin)
        self._check_disk(start)
        self.folder.prepare(self.done if self.state else None)
        training = self.training(start)
        record = self._record(training)
        if self.state:
            record.restore(*self.folder.state())
        pairs = self.pairs()
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

    def _check_disk(self, start: Start) -> None:
        """Refuse what cannot fit: while a state is replaced, two are there."""
        copies = 1 if self.state else 2
        weights = sum(weight.numel() for weight in start.network.parameters())
        refuse_too_large(copies * _BYTES_A_WEIGHT * weights, self.config.out, "a smaller --network")

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
            len(self.material.kind.classes),
            settings=self.settings,
            evaluations=self.evaluations,
            save_seconds=self.config.save_seconds,
            say=self.progress.say,
        )

    def start(self) -> Start:
        """Return the student before its training."""
        torch.manual_seed(mixed_seed(self.recipe.seed, 0))
        return student_kind(self.config.network).begin(len(self.material.kind.classes))

    def training(self, start: Start) -> StudentTraining:
        """Return what trains it."""
        return StudentTraining(start, self.recipe, self.device, self.precision)

    def pairs(self) -> TrainingPairs:
        """Return what it is trained on."""
        material = self.material
        return TrainingPairs(
            material.pairs,
            material.labelled,
            self.recipe.labelled_share,
            crop_of(material.pairs),
            self.augmentation,
            len(material.kind.classes),
            self.recipe.seed,
            room_for_examples(),
        )

    def _write(self, training: StudentTraining, record: Record, last: TrainingStatus) -> None:
        material = self.material
        facts = {
            "steps": last.step,
            "seconds": round(last.seconds, 1),
            "images": material.images,
            "labelled": material.labelled_images,
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
            material.kind.classes,
            material.kind.view,
            material.kind.reading,
            material.kind.teacher,
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
        kind, view = student_kind(self.config.network), material.kind.view
        seen = "in tiles of" if view.fit == "tile" else "with a longer side of"
        say(f"student: {kind.title}, {origin}; images {seen} {view.side} pixels, on {self.device}")
        say(
            f"{material.images} images, {material.labelled_images} labelled ones beside them, "
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
            labelled=material.labelled_images,
            held_out=material.held_out_images,
            steps=self.done,
            seconds=self.seconds,
            loss=loss,
            held_out_miou=best,
            held_out_against=material.against,
            failed={**material.failed, **(lost or {})},
            finished_before=finished,
        )


def own_settings(config: DistilConfig, classes: Classes) -> dict[str, Any]:
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
