"""``dseg demo``: all commands on drawn scenes, whose true labels are known exactly."""

import io
import json
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...classify.ensemble.model_files import MODEL_FOLDER
from ...classify.inference.mask_files import read_mask, write_mask
from ...classify.labels.classes import Classes
from ...demo.picture import Example, draw_picture
from ...demo.scenes import CLASSES, COLOURS, DEMO_SEEDS, draw_scene
from ...extract.images.reading import read_image
from ...extract.networks.options import BackboneOptions
from ...store.atomic_folder import is_free, remove_temporary_files
from ...store.claims import claimed
from ...store.differences import differences
from ...store.errors import DsegError, InputError
from ...store.texts import read_json
from ...store.whole_file import write_whole
from ..console.optional_packages import require
from ..console.progress import Progress
from ..evaluate.config import EvaluateConfig, EvaluateSummary
from ..evaluate.run import evaluate
from ..extract.config import ExtractConfig
from ..extract.feature_choice import features_of
from ..extract.run import extract
from ..fit.config import FitConfig
from ..fit.run import fit
from ..inputs.image_list import named
from ..predict.config import PredictConfig
from ..predict.run import predict
from .config import DemoConfig, DemoSummary

__all__ = ["demo"]

MARK = "dseg-demo.json"
FOLDERS = ("photos", "labels", "truth", "feats.zarr", "model", "masks")
FILES = ("classes.json", "classes.txt", "train.txt", "test.txt", "demo.png")
SMALLEST = 16
SHOWN = 4


def demo(config: DemoConfig, progress: Progress | None = None) -> DemoSummary:
    """Draw scenes, extract, fit on a few of them, predict and score the others, show some.

    Raises
    ------
    DsegError
        If the folder holds something else or was made with other settings, a number is out of
        range, or one of the steps fails.
    """
    progress = progress or Progress()
    require("matplotlib")
    _check(config)
    features_of(_extraction(config))  # a wrong checkpoint leaves no folder
    tidy = partial(remove_temporary_files, config.out)
    with claimed(config.out, None, "dseg demo", in_parent=True, tidy=tidy, warn=progress.warn):
        return _demo(config, progress)


def _demo(config: DemoConfig, progress: Progress) -> DemoSummary:
    started = time.monotonic()
    _claim(config)
    train, test = _stems(config)
    _write_scenes(config, train, test, progress)
    _extract(config, progress)
    _fit(config, progress)
    _predict(config, progress)
    out = config.out
    scores = evaluate(
        EvaluateConfig(out / "masks", out / "truth", list_file=out / "test.txt"), progress
    )
    _draw(config, test, scores)
    return DemoSummary(
        folder=str(out),
        picture=str(out / "demo.png"),
        labelled=len(train),
        predicted=len(test),
        mean_iou=scores.mean_iou,
        pixel_accuracy=scores.pixel_accuracy,
        iou=scores.iou,
        seconds=time.monotonic() - started,
    )


def _check(config: DemoConfig) -> None:
    if config.labelled < 1 or config.predicted < 1:
        raise InputError(
            "the demo needs at least one scene to train on and one to predict, got "
            f"{config.labelled} and {config.predicted}"
        )
    if config.labelled + config.predicted > len(DEMO_SEEDS):
        raise InputError(
            f"the demo has only {len(DEMO_SEEDS)} scenes, but {config.labelled} to train on "
            f"and {config.predicted} to predict were requested: request fewer"
        )
    if min(config.size) < SMALLEST:
        raise InputError(
            f"scenes of {config.size[0]}x{config.size[1]} pixels are too small: each side "
            f"needs at least {SMALLEST} pixels"
        )


def _claim(config: DemoConfig) -> None:
    """Make the folder this run's own, or refuse: nothing but an earlier demo is ever removed."""
    out, mark = config.out, config.out / MARK
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file: give a folder with --out")
    if mark.is_file() and config.overwrite:
        _clear(out)
    elif mark.is_file():
        _check_settings(mark, _settings(config))
        return
    elif not is_free(out):
        _check_foreign(config)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(mark, (json.dumps(_settings(config), indent=1) + "\n").encode())


def _settings(config: DemoConfig) -> dict[str, Any]:
    """Return what all results in a folder depend on."""
    names = ("checkpoint", "labelled", "predicted", "members", "max_steps")
    return {"size": list(config.size), **{name: getattr(config, name) for name in names}}


def _check_settings(mark: Path, asked: Mapping[str, Any]) -> None:
    """Refuse to mix the results of different settings."""
    try:
        there = read_json(mark)
    except ValueError as error:
        raise InputError(
            f"'{mark}' was not written by `dseg demo` ({error}): use --overwrite to start again"
        ) from error
    known = dict.fromkeys(asked, "unknown") | (there if isinstance(there, dict) else {})
    other = differences(known, asked)
    if other:
        raise InputError(
            f"the demo in '{mark.parent}' was made with other settings ({', '.join(other)}): give "
            "another --out, or use --overwrite to start again"
        )


def _check_foreign(config: DemoConfig) -> None:
    """Refuse a folder of other things, unless told to use it and nothing is in the way."""
    out = config.out
    if not config.overwrite:
        some = named(sorted(path.name for path in out.iterdir()))
        raise InputError(
            f"'{out}' is not empty and was not made by `dseg demo` (it contains {some}): "
            "give another --out, or use --overwrite to add the demo to it"
        )
    taken = [name for name in (*FOLDERS, *FILES) if (out / name).exists()]
    if taken:
        raise InputError(
            f"'{out}' contains {named(taken)}, which `dseg demo` did not write and does not "
            "replace: give another --out"
        )


def _clear(out: Path) -> None:
    """Remove what an earlier demo made; its mark goes last, by being replaced."""
    for name in FOLDERS:
        if (out / name).is_symlink():
            (out / name).unlink()
        elif (out / name).exists():
            shutil.rmtree(out / name)
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def _stems(config: DemoConfig) -> tuple[list[str], list[str]]:
    """Return the names of the scenes to learn from and of those to predict."""
    seeds = DEMO_SEEDS[: config.labelled + config.predicted]
    stems = [f"scene_{seed:02d}" for seed in seeds]
    return stems[: config.labelled], stems[config.labelled :]


def _write_scenes(
    config: DemoConfig, train: list[str], test: list[str], progress: Progress
) -> None:
    """Write images, label maps, names of classes, lists: the same bytes each time, so all stays."""
    out, stems = config.out, [*train, *test]
    progress.say(
        f"{len(stems)} scenes of {config.size[0]}x{config.size[1]} pixels, {len(CLASSES)} "
        f"classes: {len(train)} labelled scenes to train on, {len(test)} to predict"
    )
    for name in ("photos", "labels", "truth"):
        (out / name).mkdir(exist_ok=True)
    with progress.bar("draw", len(stems), "scenes") as advance:
        for seed, stem in zip(DEMO_SEEDS, stems, strict=False):
            scene = draw_scene(seed, config.size)
            write_whole(out / "photos" / f"{stem}.png", _png(scene.image))
            folder = "labels" if stem in train else "truth"
            write_mask(out / folder / f"{stem}.png", scene.label, COLOURS)
            advance(1)
    classes = json.dumps(Classes(CLASSES, COLOURS).to_list(), indent=1)
    write_whole(out / "classes.json", (classes + "\n").encode())
    for name, lines in (("classes", CLASSES), ("train", train), ("test", test)):
        write_whole(out / f"{name}.txt", ("\n".join(lines) + "\n").encode())


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def _extract(config: DemoConfig, progress: Progress) -> None:
    done = extract(_extraction(config), progress)
    _refuse_failures(getattr(done, "failed", {}), "extracted")


def _extraction(config: DemoConfig) -> ExtractConfig:
    return ExtractConfig(
        config.out / "photos",
        config.out / "feats.zarr",
        () if config.checkpoint is None else (config.checkpoint,),
        backbone=BackboneOptions(device=config.device),
    )


def _fit(config: DemoConfig, progress: Progress) -> None:
    out = config.out
    if MODEL_FOLDER.is_at(out / "model"):
        progress.say(f"'{out / 'model'}' exists already")
        return
    fit(
        FitConfig(
            (out / "feats.zarr",),
            out / "labels",
            out / "model",
            list_file=out / "train.txt",
            members=config.members,
            max_steps=config.max_steps,
            device=config.device,
        ),
        progress,
    )


def _predict(config: DemoConfig, progress: Progress) -> None:
    out = config.out
    done = predict(
        PredictConfig(
            (out / "feats.zarr",),
            out / "model",
            out / "masks",
            uncertainty=True,
            list_file=out / "test.txt",
            device=config.device,
            overwrite=True,  # of a model that is there no more: the folder is the demo's own
        ),
        progress,
    )
    _refuse_failures(done.failed, "predicted")


def _refuse_failures(failed: Mapping[str, str], what: str) -> None:
    if failed:
        name, reason = next(iter(failed.items()))
        raise DsegError(f"{len(failed)} scenes could not be {what}, first '{name}': {reason}")


def _draw(config: DemoConfig, test: list[str], scores: EvaluateSummary) -> None:
    """Draw some scenes, evenly spaced among those predicted: none is chosen for its result."""
    out = config.out
    places = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).round().astype(int)
    examples = []
    for stem in (test[place] for place in places):
        mask, truth = (read_mask(out / name / f"{stem}.png") for name in ("masks", "truth"))
        examples.append(
            Example(
                image=read_image(out / "photos" / f"{stem}.png"),
                mask=mask.astype(np.uint8),
                truth=truth.astype(np.uint8),
                uncertainty=np.load(out / "masks" / "uncertainty" / f"{stem}.npy"),
            )
        )
    note = f"{config.labelled} labelled scenes; mIoU {scores.mean_iou:.2f} on {len(test)} others"
    write_whole(out / "demo.png", draw_picture(examples, CLASSES, COLOURS, note))
