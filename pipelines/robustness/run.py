"""``dseg robustness``: how mIoU falls as images get noisier, blurrier, foggier.

For each model, corruption and severity the images are corrupted as they are decoded and go the way
of ``dseg predict photos/``: rows, network, vote, a mask of the image's own size, scored as ``dseg
evaluate`` does. No corrupted image is kept. One model is loaded at a time, once.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from ...extract.images.files import ImageFiles, find_images
from ...extract.images.levels import FULL
from ...extract.images.reading_spec import ReadingSpec
from ...extract.networks.devices import choose_device
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import claimed
from ...store.errors import InputError
from ...store.whole_file import write_whole
from ..console.optional_packages import require
from ..console.progress import Advance, Progress
from ..inputs.image_list import read_list
from ..inputs.image_survey import report_skipped_files, survey_images, warn_if_dark
from ..masks.mask_folder import refuse_inside_images
from ..masks.open_model import open_mask_model
from ..masks.recipe import fingerprint
from ..masks.training_set import TrainingSet
from ..training.memory import peak_resident, return_freed_memory
from .config import RobustnessConfig, RobustnessSummary
from .corrupted_runs import CorruptedRuns, Pair
from .corruptions import SEVERITIES, SMALLEST, chosen, library
from .plot import draw_results
from .report import report_text
from .results import CLEAN, Results, StudySettings, mean_of_all
from .scored_images import ScoredImages, read_scored_images

__all__ = ["robustness"]


def robustness(config: RobustnessConfig, progress: Progress | None = None) -> RobustnessSummary:
    """Score models on corrupted images; write figures, a table and plots.

    Raises
    ------
    InputError
        If the call is wrong, images and labels do not fit, or other results stand in the way.
    DsegError
        If an image cannot be used after all.
    """
    progress = progress or Progress()
    with progress.step("list images"):
        images = find_images([config.images])
    refuse_inside_images(images, config.out)
    report_skipped_files(images, progress)
    if config.dry_run:
        return _robustness(config, images, progress)
    tidy = partial(remove_temporary_files, config.out)
    with claimed(config.out, None, "dseg robustness", tidy=tidy, warn=progress.warn):
        return _robustness(config, images, progress)


def _robustness(
    config: RobustnessConfig, images: ImageFiles, progress: Progress
) -> RobustnessSummary:
    started = time.monotonic()
    return_freed_memory()
    pairs, known_as = _passes(config), library()
    require("matplotlib")
    device = choose_device(config.device)
    scored, trained_on = _scored(config, images, device, progress)
    results = _results(config, scored, known_as)
    models = [fingerprint(model) for model in config.models]
    results.enter(zip(models, (model.as_posix() for model in config.models), strict=True))
    todo = {model: [p for p in pairs if (model, *p) not in results.cells] for model in models}
    passes, n_images = sum(map(len, todo.values())), len(scored.labels)
    unchanged = len(models) * len(pairs) - passes
    summary = RobustnessSummary(
        str(config.out), n_images, passes, unchanged, learnt_from=trained_on
    )
    progress.say(
        f"{n_images} images on {device}, {len(pairs)} passes for each of {len(models)} "
        f"models, {unchanged} done already; results to '{config.out}'"
    )
    load = partial(CorruptedRuns, config, images=images, scored=scored, device=device)
    left = [(number, model, todo[model]) for number, model in enumerate(models) if todo[model]]
    if config.dry_run:
        summary.seconds = sum(load(number=number).seconds(some) for number, _, some in left)
        summary.peak_memory = peak_resident()
        return summary
    with progress.bar("robustness", passes * n_images, "images") as advance:
        for number, model, some in left:
            _make(load(number=number), model, some, results, advance)
    _write(results)
    summary.mean_iou = _means(results, models, pairs)
    summary.peak_memory = peak_resident()
    summary.seconds = time.monotonic() - started
    return summary


def _passes(config: RobustnessConfig) -> list[Pair]:
    """Return the passes over a model, the clean one first."""
    wrong = [severity for severity in config.severities if severity not in SEVERITIES]
    if wrong or not config.severities:
        what = f"names {wrong[0]}" if wrong else "names none"
        raise InputError(f"--severities {what}: severities are 1 to 5")
    if config.side < SMALLEST:
        raise InputError(f"--side {config.side} is too small: give at least {SMALLEST}")
    if len(config.checkpoints) not in (0, 1, len(config.models)):
        raise InputError(
            f"--checkpoint was given {len(config.checkpoints)} times for "
            f"{len(config.models)} models: give one for all, or one per model in the same "
            "order"
        )
    names, severities = chosen(config.corruptions), sorted(set(config.severities))
    return [(CLEAN, 0), *((name, severity) for name in names for severity in severities)]


def _scored(
    config: RobustnessConfig, images: ImageFiles, device: torch.device, progress: Progress
) -> tuple[ScoredImages, dict[str, int | None]]:
    """Read images and label maps; count the images in each model's training set, if it is known."""
    n_classes, extras, names, readings = 0, {}, {}, set[ReadingSpec]()
    for folder in config.models:
        model = open_mask_model(folder, device)
        # what is wrong with it is refused here, before the models ahead of it take hours
        if any(network.latents for network in model.networks):
            raise InputError(
                f"the model '{folder}' takes features of a generator, which sees the latents of "
                "its own images, not their pixels: no corruption would change them"
            )
        readings.add(model.reading)
        n_classes = max(n_classes, len(model.classes))
        extras[folder.as_posix()], names[folder.as_posix()] = model.extra, model.classes.names
    reading = _one_reading(readings)
    scored = read_scored_images(
        images,
        config.labels,
        None if config.list_file is None else read_list(config.list_file),
        config.ignore,
        smallest=SMALLEST,
        n_classes=n_classes,
        progress=progress,
        reading=reading,
    )
    _warn_of_images(images, scored, reading, progress)
    for name, known in names.items():
        _warn_of_names(name, known, scored.classes.names, progress)
    trained_on = {
        name: _count_trained_on(TrainingSet.of(extra), scored) for name, extra in extras.items()
    }
    for name, count in trained_on.items():
        if count:
            progress.warn(
                f"the model '{name}' was trained on {count} of the {len(scored.labels)} "
                "images, so its scores are higher than on other images: choose others with "
                "--list"
            )
    return scored, trained_on


def _one_reading(readings: set[ReadingSpec]) -> ReadingSpec:
    """Return how images are read whose models agree in all but white.

    The size of an image and its pages do not depend on white.

    Raises
    ------
    InputError
        If they do not agree: an image would not be the same for each.
    """
    if len({replace(one, white=FULL) for one in readings}) > 1:
        ways = "; ".join(sorted(one.words() or "as they are" for one in readings))
        raise InputError(
            f"the models take images that are read in different ways ({ways}), so their scores "
            "cannot be compared: give one of them at a time"
        )
    return max(readings, key=lambda one: one.white)


def _warn_of_images(
    images: ImageFiles, scored: ScoredImages, reading: ReadingSpec, progress: Progress
) -> None:
    names = images.by_stem
    headers = {names[stem]: images.files[names[stem]] for stem in scored.labels}
    survey = survey_images(headers, progress, reading)
    survey.warn_about_pages(progress)
    advice = "extract with --white {0} and fit a model on those features"
    warn_if_dark(survey, reading, "the model", advice, progress)


def _warn_of_names(
    model: str, known: Sequence[str], scored: Sequence[str], progress: Progress
) -> None:
    """Warn where a model and the label maps call a class by two names: the ids may differ."""
    for k, (one, other) in enumerate(zip(known, scored, strict=False)):
        if one != other and f"class {k}" not in (one, other):
            progress.warn(
                f"class {k} is '{one}' in the model '{model}' but '{other}' in the label "
                "maps: scores are by id, so check that the ids are the same"
            )
            return


def _count_trained_on(model: TrainingSet, scored: ScoredImages) -> int | None:
    known = [model.has(stem, sha256) for stem, sha256 in scored.sha256.items()]
    return None if None in known else sum(map(bool, known))


def _results(config: RobustnessConfig, scored: ScoredImages, known_as: str) -> Results:
    """Return what is there already, unless it is to be replaced."""
    settings = StudySettings(
        data=scored.digest,
        images=len(scored.labels),
        classes=scored.classes.names,
        ignore=scored.ignore,
        side=config.side,
        seed=config.seed,
        corrupted_by=known_as,
    )
    return Results(config.out, settings, config.overwrite)


def _make(
    runs: CorruptedRuns, model: str, pairs: Sequence[Pair], results: Results, advance: Advance
) -> None:
    """Make the passes that are left of a model, each on disk before the next."""
    classes = results.settings.classes
    for pair in pairs:
        results.cells[model, *pair] = runs.confusion(pair, advance=advance).scores(classes)
        results.save()


def _write(results: Results) -> None:
    results.save()  # even without a new cell: a model may have another path
    folder = results.file.folder
    write_whole(folder / "robustness.md", report_text(results, "robustness.png").encode())
    draw_results(results, folder / "robustness")


def _means(
    results: Results, models: Sequence[str], pairs: Sequence[Pair]
) -> dict[str, dict[str, float | None]]:
    """Return the means of what was asked for; more may be there, of which not all is finished."""
    by_severity: dict[int, list[str]] = {}
    for name, severity in pairs:
        by_severity.setdefault(severity, []).append(name)
    means = {}
    for model in models:
        each = {
            str(severity): [results.mean_iou(model, name, severity) for name in names]
            for severity, names in sorted(by_severity.items())
        }
        means[results.models[model]] = {s: mean_of_all(values) for s, values in each.items()}
    return means
