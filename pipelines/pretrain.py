"""``dseg pretrain``: a diffusion model trained on images without labels."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from .. import __version__
from ..extract.diffusers_folder import CARD
from ..extract.images import list_images
from ..extract.loading import Hints
from ..extract.unet import recommended_layers
from ..pretrain.dataset import Dataset, read_dataset
from ..pretrain.folder import write_network
from ..pretrain.heldout import HeldOut, split
from ..pretrain.images import Augmentation, TrainingImages
from ..pretrain.loop import Length, Moment, train
from ..pretrain.precision import choose_precision
from ..pretrain.processes import Processes, processes
from ..pretrain.recipe import Recipe
from ..pretrain.samples import write_samples
from ..pretrain.start import Start, begin
from ..pretrain.state import has_state, read_state, read_values, write_state
from ..pretrain.training import Training
from ..store.errors import DsegError, InputError
from ..store.folders import is_free
from ..store.layout import stem_of
from .progress import Progress
from .selection import duration, named, read_list, select

__all__ = ["PretrainConfig", "PretrainEstimate", "PretrainSummary", "pretrain"]

STATE, LOG, IMAGES, SAMPLES = "training", "log.jsonl", "images.sha256", "samples"
DEFAULT_SECONDS = 3600.0
_LOG_EVERY = 10.0  # seconds
_EVALUATE_EVERY = 60.0
_SHEETS = 4  # over a run
_ON_SHEET = 16
_PROBED = 3


@dataclass(frozen=True)
class PretrainConfig:
    """One run of ``dseg pretrain``.

    Parameters
    ----------
    images : path
        Folder of images of any size, sub-folders included.
    out : path
        The checkpoint folder: new, or one of the same run, which then goes on.
    size : int, optional
        Side of what the network sees, pixels; by default that of ``init``, else 64.
    init : str, optional
        Checkpoint to begin from, as `load_backbone` takes it; by default random weights.
    hints : Hints
        What a ``.pt`` given as ``init`` cannot show.
    network : str, optional
        One of `presets.PRESETS`; by default the one that fits the number of images.
    steps : int, optional
    seconds : float, optional
        When to end: whichever comes first; by default an hour.
    schedule : {"linear", "cosine"}, optional
        Noise schedule of 1000 steps; by default that of ``init``, else linear.
    augmentation : Augmentation
    recipe : Recipe
    precision : str, optional
        One of `precision.PRECISIONS`; by default the quickest that is safe on the device.
    save_seconds : float
        Between two saves of the state; what a killed run loses at most.
    workers : int, optional
        Threads that decode; by default one a core, 8 at most.
    list_file : path, optional
        Stems of the images to take.
    device : str, optional
    overwrite : bool
        Begin anew in a folder of another run.
    dry_run : bool
        Only tell what would be done.
    """

    images: Path
    out: Path
    size: int | None = None
    init: str | None = None
    hints: Hints = field(default_factory=Hints)
    network: str | None = None
    steps: int | None = None
    seconds: float | None = None
    schedule: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    recipe: Recipe = field(default_factory=Recipe)
    precision: str | None = None
    save_seconds: float = 300.0
    workers: int | None = None
    list_file: Path | None = None
    device: str | None = None
    overwrite: bool = False
    dry_run: bool = False

    @property
    def length(self) -> Length:
        """When the run ends."""
        if self.steps is None and self.seconds is None:
            return Length(seconds=DEFAULT_SECONDS)
        return Length(self.steps, self.seconds)


@dataclass
class PretrainSummary:
    """What a run did.

    Parameters
    ----------
    checkpoint : str
    images, held_out : int
        Images trained on, and held out.
    steps : int
        Taken so far, over all sessions.
    seconds : float
        Of training, over all sessions.
    loss, held_out_loss : float, optional
        At the end: of training, and of the averaged network on held-out images.
    failed : dict
        Images left out: reason by name.
    """

    checkpoint: str
    images: int
    held_out: int
    steps: int = 0
    seconds: float = 0.0
    loss: float | None = None
    held_out_loss: float | None = None
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PretrainEstimate:
    """What a run would do.

    Parameters
    ----------
    checkpoint : str
    images, held_out : int
    network : str
    parameters : int
    steps : int
        That it would come to.
    seconds : float
        From a probe of a few steps.
    n_bytes : int
        On disk.
    """

    checkpoint: str
    images: int
    held_out: int
    network: str
    parameters: int
    steps: int
    seconds: float
    n_bytes: int


def pretrain(
    config: PretrainConfig, progress: Progress | None = None
) -> PretrainSummary | PretrainEstimate:
    """Train a diffusion model on a folder of images; go on where an earlier run stopped.

    Started by ``torchrun``, the processes share each batch, one GPU each.

    Raises
    ------
    DsegError
        If there are no images, the folder holds something else, or a run of other settings.
    KeyboardInterrupt
        If the process was asked to stop; the state is saved.
    """
    with processes(config.device) as here:
        told = (progress or Progress()) if here.first else Progress()
        dataset = _dataset(config)
        start = begin(
            init=config.init,
            hints=config.hints,
            preset=config.network,
            n_images=len(dataset.files),
            size=config.size,
            schedule=config.schedule,
            seed=config.recipe.seed,
        )
        run = _Run(config, dataset, start, here, told)
        return run.estimate() if config.dry_run else run.work()


def _dataset(config: PretrainConfig) -> Dataset:
    paths = {
        stem_of(p.relative_to(config.images).as_posix()): p for p in list_images(config.images)
    }
    listed = None if config.list_file is None else read_list(config.list_file)
    chosen = select(list(paths), listed, f"images in '{config.images}'")
    dataset = read_dataset(config.images, [paths[stem] for stem in chosen])
    if not dataset.files:
        raise DsegError(
            f"none of the {len(dataset.refused)} images can be read, the first because: "
            f"{next(iter(dataset.refused.values()))}"
        )
    return dataset


class _Run:
    """One run: what it reads, what it trains, and the folder that it writes."""

    def __init__(
        self,
        config: PretrainConfig,
        dataset: Dataset,
        start: Start,
        here: Processes,
        progress: Progress,
    ) -> None:
        self.config, self.dataset, self.start = config, dataset, start
        self.here, self.progress = here, progress
        self.settings = _settings(config, dataset, start)
        self.resumes = _check_folder(config, self.settings)
        paths = list(dataset.files.values())
        seen, out = split(len(paths), config.recipe.seed)
        self.images = self._images([paths[i] for i in seen], config.augmentation)
        self.n_out = len(out)
        self.held_out = None
        if out and here.first:
            whole = self._images([paths[i] for i in out], Augmentation())
            pictures = [whole.whole(i) for i in range(len(out))]
            self.held_out = HeldOut(pictures, start.scheduler, config.recipe.seed)
        precision = choose_precision(config.precision, here.device)
        self.training = Training(start.network, start.scheduler, config.recipe, here, precision)
        self.precision = str(precision).removeprefix("torch.")
        self.seconds = 0.0  # of earlier sessions
        self.losses: dict[str, float | None] = {"loss": None, "held_out": None}
        self.saved = self.evaluated = time.monotonic()
        self.sheets = 0

    def _images(self, paths: list[Path], augmentation: Augmentation) -> TrainingImages:
        room = psutil.virtual_memory().available // (4 * self.here.world)
        return TrainingImages(paths, self.start.size, augmentation, self.config.recipe.seed, room)

    @property
    def workers(self) -> int:
        return self.config.workers or min(8, os.cpu_count() or 1)

    def work(self) -> PretrainSummary:
        """Train, and leave the checkpoint in its folder."""
        config, progress = self.config, self.progress
        if self.here.first:
            self._prepare_folder()
        self.here.wait()
        if self.resumes:
            tensors, values = read_state(config.out / STATE)
            self.training.restore(tensors, values)
            self.seconds = float(values["seconds"])
        self._describe()
        before = config.length.progress(self.training.done, self.seconds)
        self.sheets = int(before * _SHEETS)
        with progress.bar("pretrain", 1000, "‰") as advance:
            shown = int(before * 1000)
            advance(shown)

            def note(moment: Moment) -> None:
                nonlocal shown
                advance(int(moment.progress * 1000) - shown)
                shown = int(moment.progress * 1000)
                self._note(moment)

            last = train(
                self.training,
                self.images,
                config.length,
                seconds=self.seconds,
                every=_LOG_EVERY,
                workers=self.workers,
                advance=note,
            )
        if last.stopped:
            raise KeyboardInterrupt
        return PretrainSummary(
            checkpoint=str(config.out),
            images=len(self.images),
            held_out=self.n_out,
            steps=last.step,
            seconds=last.seconds,
            loss=self.losses["loss"],
            held_out_loss=self.losses["held_out"],
            failed=dict(self.dataset.refused),
        )

    def _prepare_folder(self) -> None:
        config = self.config
        if config.overwrite and not self.resumes:
            shutil.rmtree(config.out, ignore_errors=True)
        (config.out / SAMPLES).mkdir(parents=True, exist_ok=True)
        (config.out / IMAGES).write_text(self.dataset.listing(), encoding="utf-8")

    def _describe(self) -> None:
        done = self.training.done
        count = sum(p.numel() for p in self.start.network.parameters())
        known = self.start.facts
        origin = known["init"]["source"] if "init" in known else f"'{known['network']}', new"
        self.progress.say(
            f"network: {origin}; {count / 1e6:.1f} million weights, {self.start.size} pixels; on "
            f"{self.here.device} in {self.precision}"
            + (f", {self.here.world} processes" if self.here.world > 1 else "")
        )
        self.progress.say(
            f"{len(self.images)} images to learn from, {self.n_out} held out"
            + (f"; goes on after {done} steps, {duration(self.seconds)}" if self.resumes else "")
        )
        if self.dataset.refused:
            self.progress.warn(
                f"{len(self.dataset.refused)} files are left out: {named(self.dataset.refused)}"
            )

    def _note(self, moment: Moment) -> None:
        """Do what is due: log, evaluate, draw, save."""
        if not self.here.first:
            return
        now = time.monotonic()
        self.losses["loss"] = _finite(moment.loss) or self.losses["loss"]
        line = {
            "step": moment.step,
            "seconds": round(moment.seconds, 1),
            "learning_rate": moment.rate,
            "loss": _finite(moment.loss),
        }
        if self.held_out and (moment.last or now - self.evaluated >= _EVALUATE_EVERY):
            with self.training.autocast():
                loss = self.held_out.loss(self.training.averaged, self.config.recipe.batch_size)
            self.losses["held_out"] = line["held_out_loss"] = loss
            self.evaluated = now
            self.progress.say(
                f"step {moment.step}, {duration(moment.seconds)}: loss {moment.loss:.4f}, "
                f"held-out {loss:.4f}"
            )
        with (self.config.out / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        if moment.progress * _SHEETS >= self.sheets + 1:
            self.sheets = int(moment.progress * _SHEETS)
            self._draw(moment)
        if moment.last or now - self.saved >= self.config.save_seconds:
            self._save(moment)
            self.saved = time.monotonic()

    def _draw(self, moment: Moment) -> None:
        path = self.config.out / SAMPLES / f"step_{moment.step:07d}.png"
        with self.training.autocast():
            write_samples(self.training.averaged, self.start.scheduler, _ON_SHEET, path)

    def _save(self, moment: Moment) -> None:
        """Write the state, then the network: killed between them, the run goes on and mends it."""
        tensors, values = self.training.state()
        values |= {"seconds": moment.seconds, "settings": self.settings}
        write_state(self.config.out / STATE, tensors, values)
        write_network(
            self.training.averaged, self.start.scheduler, self.config.out, self._card(moment)
        )

    def _card(self, moment: Moment) -> dict[str, Any]:
        device = self.here.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return {
            "made_by": f"dseg {__version__}, torch {torch.__version__}",
            **recommended_layers(self.start.network, len(self.start.scheduler.betas)),
            "size": self.start.size,
            "images": len(self.images),
            "held_out_images": self.n_out,
            "images_sha256": self.dataset.sha256,
            **self.start.facts,
            "trained_steps": moment.step,
            "trained_seconds": round(moment.seconds, 1),
            "device": f"{name}, {self.here.world} processes" if self.here.world > 1 else name,
            "precision": self.precision,
            "augmentation": asdict(self.config.augmentation),
            "recipe": asdict(self.config.recipe),
            "loss": self.losses["loss"],
            "held_out_loss": self.losses["held_out"],
        }

    def estimate(self) -> PretrainEstimate:
        """Take a few steps, write nothing, and scale up."""
        recipe, length = self.config.recipe, self.config.length
        low, count = self.here.share(recipe.batch_size)
        took = []
        for step in range(_PROBED):
            start = time.monotonic()
            batch = self.images.batch(step * recipe.batch_size + low, count)
            float(self.training.step(batch, 0.0))
            took.append(time.monotonic() - start)
        a_step = min(took)
        by_time = int(length.seconds / a_step) if length.seconds else None
        steps = min(n for n in (length.steps, by_time) if n is not None)
        weights = sum(p.numel() for p in self.start.network.parameters())
        return PretrainEstimate(
            checkpoint=str(self.config.out),
            images=len(self.images),
            held_out=self.n_out,
            network=self.start.facts["network"],
            parameters=weights,
            steps=steps,
            seconds=steps * a_step,
            n_bytes=5 * 4 * weights,  # weights, their average, two moments; the network itself
        )


def _finite(value: float) -> float | None:
    return value if value == value else None


def _settings(config: PretrainConfig, dataset: Dataset, start: Start) -> dict[str, Any]:
    """Return what a run must keep when it goes on: all that decides what is learnt but its end."""
    return {
        "images_sha256": dataset.sha256,
        "size": start.size,
        "schedule": start.scheduler.config.beta_schedule,
        "network": start.facts["network"],
        "init_sha256": start.facts.get("init", {}).get("sha256"),
        "augmentation": asdict(config.augmentation),
        "recipe": asdict(config.recipe),
    }


def _check_folder(config: PretrainConfig, settings: Mapping[str, Any]) -> bool:
    """Return whether the run goes on from a state; refuse a folder of something else."""
    out = config.out
    if not has_state(out / STATE):
        if not is_free(out) and not (config.overwrite and (out / CARD).is_file()):
            raise InputError(
                f"'{out}' holds something else than a run of dseg pretrain: give another --out"
            )
        return False
    was = read_values(out / STATE).get("settings", {})
    differ = [
        f"{key} (there {was.get(key)}, now {value})"
        for key, value in settings.items()
        if was.get(key) != value
    ]
    if differ and not config.overwrite:
        raise InputError(
            f"'{out}' holds a run that differs in {'; '.join(differ)}: repeat its options to go "
            "on, give another --out, or --overwrite to begin anew"
        )
    return not config.overwrite
