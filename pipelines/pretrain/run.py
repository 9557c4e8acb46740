"""``dseg pretrain``: a diffusion model trained on images without labels."""

import os
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...extract.images.files import ImageFiles, find_images
from ...extract.images.reading_spec import ReadingSpec
from ...pretrain.data.dataset import Dataset, read_dataset, read_listing
from ...pretrain.data.images import Augmentation, TrainingImages
from ...pretrain.network.card import card_of
from ...pretrain.network.start import Start, begin
from ...pretrain.run.folder import RunFolder
from ...pretrain.run.loop import TrainingStatus, train
from ...pretrain.run.record import Record
from ...pretrain.run.sheets import Sheets
from ...pretrain.train.compiling import check_compiler
from ...pretrain.train.heldout_loss import HeldOut, split
from ...pretrain.train.precision import precision_to_continue
from ...pretrain.train.processes import Processes, processes
from ...pretrain.train.step import Training
from ...store.claims import claimed
from ...store.errors import DsegError, InputError
from ...store.urls.location import is_inside
from ..console.disk_space import refuse_too_large
from ..console.progress import Progress
from ..inputs.image_list import duration, named, read_list, select
from ..inputs.image_survey import report_skipped_files, survey_images
from ..inputs.reading_choice import decide_reading
from ..training.memory import default_memory, memory_errors, peak_resident
from ..training.progress_bar import training_bar
from .config import PretrainConfig, PretrainEstimate, PretrainSummary

__all__ = ["pretrain"]

_LOG_EVERY = 10.0  # seconds
_PROBED = 3
_BYTES_A_WEIGHT = 4 * 4 + 4  # the weight, its average and two moments; the network itself


def pretrain(
    config: PretrainConfig, progress: Progress | None = None
) -> PretrainSummary | PretrainEstimate:
    """Train a diffusion model on a folder of images; go on where an earlier run stopped.

    Started by ``torchrun``, the processes share each batch, one GPU each.

    Raises
    ------
    DsegError
        If there are no images, the folder holds something else or a run of other settings, the
        run diverges, or cannot be written.
    KeyboardInterrupt
        If the process was asked to stop; the state is saved.
    """
    with processes(config.device) as here:
        shown = (progress or Progress()) if here.first else Progress()
        with shown.step("list images"):
            files = find_images([config.images])
        _check(config, files, here)
        folder = RunFolder(config.out)
        dataset, reading = _dataset(config, files, folder, here, shown)
        start = begin(
            init=config.init,
            init_options=config.init_options,
            preset=config.network,
            n_images=len(dataset.files),
            size=config.size,
            schedule=config.schedule,
            seed=config.recipe.seed,
        )
        with memory_errors("a smaller --batch-size or --size, or a smaller --network"):
            return _Run(config, dataset, reading, start, folder, here, shown).outcome()


def _check(config: PretrainConfig, images: ImageFiles, here: Processes) -> None:
    """Refuse what can be seen before anything is read."""
    if config.recipe.batch_size < here.world:
        raise InputError(
            f"a batch of {config.recipe.batch_size} cannot be split over {here.world} "
            "processes: give a --batch-size of at least one image per process"
        )
    out = config.out.resolve()
    if any(is_inside(out, folder) for folder in images.folders):
        raise InputError(
            f"--out '{config.out}' is inside the folder of images, to which it would add "
            "images: give another folder"
        )
    init = None if config.init is None else Path(config.init).resolve()
    if init is not None and (init == out or out in init.parents):
        raise InputError(
            f"--init '{config.init}' is the folder that --out would replace: give another --out"
        )


def _dataset(
    config: PretrainConfig,
    files: ImageFiles,
    folder: RunFolder,
    here: Processes,
    progress: Progress,
) -> tuple[Dataset, ReadingSpec]:
    """Return the images that can be read, and how they are read."""
    report_skipped_files(files, progress)
    names = files.by_stem
    listed = None if config.list_file is None else read_list(config.list_file)
    chosen = select(list(names), listed, f"images in {files.where}")
    images = {names[stem]: files.local[names[stem]] for stem in chosen}
    before = config.reading.over(ReadingSpec())
    if len(before.bands) not in (0, 1, 3):
        raise InputError(
            f"--bands names {len(before.bands)} channels, but networks are trained on RGB images: "
            "give three of them, or one (grey)"
        )
    survey = survey_images(images, progress, before)
    survey.warn_about_pages(progress)
    reading = decide_reading(config.reading, config.white, None, survey, progress)
    with progress.bar("read images", -(-len(chosen) // here.world), "images") as advance:
        dataset = read_dataset(
            config.images,
            list(images.values()),
            here,
            known=read_listing(folder.images),
            reading=reading,
            advance=advance,
        )
    if not dataset.files:
        raise DsegError(
            f"none of the {len(dataset.refused)} images can be read. The first error: "
            f"{next(iter(dataset.refused.values()))}"
        )
    return dataset, reading


def _settings(
    config: PretrainConfig, dataset: Dataset, reading: ReadingSpec, start: Start
) -> dict[str, Any]:
    """Return what a run must keep when it goes on: all that decides the result, but its end."""
    return {
        "images_sha256": dataset.sha256,
        "size": start.size,
        "schedule": start.scheduler.config.beta_schedule,
        "diffusion_steps": len(start.scheduler.betas),
        "head_channels": start.network.config.attention_head_dim,
        "network": start.facts["network"],
        "init_sha256": start.facts.get("init", {}).get("sha256"),
        "init_weights": start.facts.get("init", {}).get("weights"),
        "augmentation": asdict(config.augmentation),
        "recipe": asdict(config.recipe),
        **reading.to_dict(),
    }


class _Run:
    """One run: what it reads, what it trains, and the folder that it writes."""

    def __init__(
        self,
        config: PretrainConfig,
        dataset: Dataset,
        reading: ReadingSpec,
        start: Start,
        folder: RunFolder,
        here: Processes,
        progress: Progress,
    ) -> None:
        self.config, self.dataset, self.start, self.folder = config, dataset, start, folder
        self.here, self.progress, self.reading = here, progress, reading
        self.settings = _settings(config, dataset, reading, start)
        state = folder.state_to_continue(self.settings, config.length, overwrite=config.overwrite)
        self.resumes = state is not None
        self.done = int(state["step"]) if state else 0
        self.seconds = float(state["seconds"]) if state else 0.0  # of earlier sessions
        self.names = list(dataset.files)
        self.seen, self.held_out = split(len(self.names), config.recipe.seed)
        self.precision = self._precision(state.get("precision") if state else None)
        if config.compiled:
            check_compiler(here.device)
        self._reported: set[int] = set()

    def _precision(self, before: str | None) -> torch.dtype:
        """Return what is asked for, else what the run had before, else what this machine does best.

        Processes that disagree about the last do as the first.
        """
        found = precision_to_continue(self.config.precision, before, self.here.device)
        chosen: list[torch.dtype] = self.here.gathered(found)
        return chosen[0]

    def outcome(self) -> PretrainSummary | PretrainEstimate:
        """Do what is asked for, if anything is left to do."""
        over = self.config.length.progress(self.done, self.seconds) >= 1
        if self.resumes and over and self.folder.result(self.done):
            return self._finished_before()
        return self._estimate() if self.config.dry_run else self._work()

    def _finished_before(self) -> PretrainSummary:
        card = self.folder.result(self.done)
        self.progress.say(
            f"'{self.config.out}' is finished: {self.done} steps, {duration(self.seconds)}. "
            "Increase --steps or --time to continue, or use --overwrite to start again"
        )
        found = {name: card.get(name) for name in ("loss", "held_out_loss", "note")}
        found |= {"first_held_out_loss": self.folder.first_loss(), "finished_before": True}
        return self._summary(self.done, self.seconds, {}, found)

    def _work(self) -> PretrainSummary:
        """Train, and leave the checkpoint in its folder."""
        self._check_memory()
        self._check_disk()
        self._describe()
        self.here.wait()  # until all have looked at the folder
        claim = claimed(self.config.out, None, "dseg pretrain", warn=self.progress.warn)
        with claim if self.here.first else nullcontext():
            if self.here.first:
                listing = self.dataset.listing()
                self.folder.prepare(listing, step=self.done if self.resumes else None)
            images, training = self._images(self.seen, self.config.augmentation), self._training()
            if self.resumes:
                self.folder.restore(training)
            record = self._record(training)
            record.begin()
            last = self._train(training, images, record)
            self.here.wait()  # torchrun ends all with the first that ends
        if last.stopped:
            out = self.config.out
            self.progress.say(f"stopped after step {last.step}; the state is saved in '{out}'")
            raise KeyboardInterrupt
        found = {
            "loss": record.loss,
            "held_out_loss": record.held_out_loss,
            "first_held_out_loss": record.first_loss,
            "note": record.shortfall,
        }
        return self._summary(last.step, last.seconds, images.lost, found)

    def _train(self, training: Training, images: TrainingImages, record: Record) -> TrainingStatus:
        config = self.config
        with training_bar(self.progress, config.length, self.done, self.seconds) as show:

            def note(moment: TrainingStatus) -> None:
                if self.here.first:
                    show(moment)
                    self._warn_of_lost(images)
                    record.note(moment)

            return train(
                training,
                images,
                config.length,
                seconds=self.seconds,
                every=min(_LOG_EVERY, config.save_seconds),
                workers=config.workers or min(8, os.cpu_count() or 1),
                advance=note,
            )

    def _estimate(self) -> PretrainEstimate:
        """Take a few steps, write nothing, and scale up."""
        self._check_memory()
        recipe, length, training = self.config.recipe, self.config.length, self._training()
        images = self._images(self.seen, self.config.augmentation)
        low, count = self.here.share(recipe.batch_size)
        took = []
        for step in range(_PROBED):
            start = time.monotonic()
            batch = images.batch(step * recipe.batch_size + low, count)
            float(training.step(batch, 0.0))
            took.append(time.monotonic() - start)
        a_step = min(took)  # the first also warms up
        ends = [] if length.steps is None else [length.steps]
        if length.seconds is not None:
            ends.append(self.done + int(max(0.0, length.seconds - self.seconds) / a_step))
        return PretrainEstimate(
            checkpoint=str(self.config.out),
            images=len(self.seen),
            held_out=len(self.held_out),
            network=self.start.facts["network"],
            parameters=self.start.parameters,
            done=self.done,
            steps=max(self.done, min(ends)),
            seconds=max(0, min(ends) - self.done) * a_step,
            n_bytes=_BYTES_A_WEIGHT * self.start.parameters,
            peak_memory=peak_resident(),
            failed=dict(self.dataset.refused),
        )

    def _training(self) -> Training:
        start, config = self.start, self.config
        aim = (start.network, start.scheduler, config.recipe)
        return Training(*aim, self.here, self.precision, config.compiled)

    def _record(self, training: Training) -> Record:
        config, say = self.config, self.progress.say
        done = config.length.progress(self.done, self.seconds)
        return Record(
            self.folder,
            training,
            settings=self.settings,
            card=card_of(
                self.start,
                self.dataset,
                len(self.held_out),
                config.augmentation,
                training,
                self.reading,
            ),
            held_out=self._held_out() if self.here.first else None,
            save_seconds=config.save_seconds,
            sheets=Sheets(self.folder, training, config.sheets, done, say),
            say=say,
        )

    def _images(self, numbers: list[int], augmentation: Augmentation) -> TrainingImages:
        room = default_memory(torch.device("cpu")) // (2 * self.here.world)
        paths = [self.dataset.files[self.names[number]] for number in numbers]
        seed = self.config.recipe.seed
        return TrainingImages(paths, self.start.size, augmentation, seed, room, self.reading)

    def _held_out(self) -> HeldOut | None:
        if not self.held_out:
            return None
        images = self._images(self.held_out, Augmentation())
        whole = [images.whole(number) for number in range(len(images))]
        return HeldOut(whole, self.start.scheduler, self.config.recipe.seed)

    def _check_memory(self) -> None:
        """Refuse a batch that does not fit by itself, before decoding it takes hours."""
        batch, size = self.config.recipe.batch_size, self.start.size
        wanted, free = batch * 3 * size**2 * 4, 2 * default_memory(torch.device("cpu"))
        if wanted > free:
            raise InputError(
                f"a batch of {batch} images of {size}x{size} needs {wanted / 1e9:.0f} GB, "
                f"but {free / 1e9:.0f} GB are free: give a smaller --batch-size or --size"
            )

    def _check_disk(self) -> None:
        """Refuse before the first byte what cannot fit: while one is replaced, two are there."""
        copies = 1 if self.resumes else 2
        wanted = copies * _BYTES_A_WEIGHT * self.start.parameters
        refuse_too_large(wanted, self.config.out, "a smaller --network")

    def _describe(self) -> None:
        start, say = self.start, self.progress.say
        say(
            f"network: {start.origin}; {start.parameters / 1e6:.1f} million weights, {start.size} "
            f"pixels; on {self.here.device} in "
            f"{str(self.precision).removeprefix('torch.')}"
            + (f", {self.here.world} processes" if self.here.world > 1 else "")
        )
        say(
            f"{len(self.seen)} training images, {len(self.held_out)} held out"
            + (
                f"; continues after {self.done} steps, {duration(self.seconds)}"
                if self.done
                else ""
            )
        )
        if start.weights is not None:
            say(f"  weights: {start.weights}")
        if "init" in start.facts and not self.held_out:
            say("too few images to hold one out: the held-out loss will not be known")
        if self.dataset.refused:
            self.progress.warn(
                f"{len(self.dataset.refused)} files are skipped: {named(self.dataset.refused)}"
            )

    def _warn_of_lost(self, images: TrainingImages) -> None:
        for number in sorted(images.lost.keys() - self._reported):
            self._reported.add(number)
            self.progress.warn(f"skipped from now on: {images.lost[number]}")

    def _summary(
        self, steps: int, seconds: float, lost: dict[int, str], found: dict[str, Any]
    ) -> PretrainSummary:
        failed = {self.names[self.seen[number]]: why for number, why in lost.items()}
        return PretrainSummary(
            checkpoint=str(self.config.out),
            images=len(self.seen),
            held_out=len(self.held_out),
            steps=steps,
            seconds=seconds,
            failed={**self.dataset.refused, **failed},
            **found,
        )
