"""The command line of ``dseg fit``: parse, call, report."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..cluster.client import ClusterOptions
from ..console.options import (
    cluster_options,
    device_option,
    dry_run_option,
    ignore_option,
    layers_option,
    list_option,
    output_options,
    overwrite_option,
    training_options,
    unreadable_option,
)
from ..console.output import console_of, next_command, report
from ..console.places import existing_folder_or_url, existing_path_or_url, storage_option
from ..console.progress import Console
from ..console.unused_options import refuse_idle, refuse_idle_training
from ..console.values import folder

if TYPE_CHECKING:  # what it imports is for its run
    from .config import FitSummary

__all__ = ["fit"]


@click.command()
@click.argument("stores", type=existing_folder_or_url, nargs=-1, required=True)
@click.argument("labels", type=existing_path_or_url)
@click.option(
    "--out", type=folder, default="model", show_default=True, help="Output folder of the model."
)
@layers_option
@ignore_option
@training_options
@click.option(
    "--folds",
    type=click.IntRange(2),
    metavar="K",
    help="First estimate the mIoU by cross-validation with K folds of the labelled images (K = "
    "number of images: leave one out), and calibrate the probabilities. Takes K + 1 "
    "trainings.",
)
@click.option(
    "--folds-out", type=folder, help="Folder for masks and uncertainty of the held-out images."
)
@click.option(
    "--self-train",
    type=existing_folder_or_url,
    multiple=True,
    metavar="STORE",
    help="Also learn from images without labels, of this store, where the ensemble is sure; kept "
    "only if cross-validation (--folds, default 3) says that it helps. May be the same store. "
    "Takes 2 K + 2 trainings.",
)
@click.option(
    "--self-train-images",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="For --self-train: use at most so many images.",
)
@cluster_options
@unreadable_option("stop")
@list_option
@storage_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def fit(context: click.Context, /, **given: Any) -> int:
    """Train the ensemble on the labelled images of a feature store.

    Several STORES of the same images are joined: their features are used together. LABELS is a
    folder with a label map for some of the images, matched by name: index PNGs, .npy, RGB masks and
    others; or an annotation file, such as COCO. classes.txt in that folder or its parent folder
    names the classes, one per line. `dseg labels check` shows what is understood.

    \b
    dseg fit feats.zarr labels/
    dseg fit feats.zarr coco.json
    dseg fit feats.zarr labels/ --list train.txt --memory 2GB --out model/
    dseg fit feats.zarr labels/ --folds 5 --folds-out held-out/
    dseg fit ddpm.zarr mae.zarr labels/
    dseg fit feats.zarr labels/ --self-train feats.zarr
    """
    from .config import FitConfig
    from .run import fit as run

    refuse_idle_training(context, given)
    if not given["self_train"]:
        refuse_idle(context, {"self_train_images": "it is used only with --self-train"})
    console, as_json = console_of(given)
    given["cluster"] = ClusterOptions.taken_from(given)
    summary = run(FitConfig(**given), console)
    text = _estimate(summary) if given["dry_run"] else _done(summary, given, console)
    plain = asdict(summary)
    if not summary.folds:
        for key in ("folds", "folds_seconds", "cross_validation"):
            del plain[key]
    if not given["self_train"]:
        del plain["self_training"]
    return report(plain, text, as_json, summary.failed)


def _estimate(summary: "FitSummary") -> str:
    from ..inputs.image_list import duration

    text = (
        f"{summary.model}: about {summary.n_bytes / 1e6:.1f} MB on disk, "
        f"{duration(summary.training_seconds)} of training, "
        f"{duration(summary.reading_seconds or 0)} of reading, and "
        f"{summary.peak_memory / 1e6:.0f} MB of memory for the whole process; nothing written "
        "(--dry-run)"
    )
    if summary.folds:
        text += f"\n{summary.folds} folds: about {duration(summary.folds_seconds or 0)} more"
    return text


def _done(summary: "FitSummary", given: dict[str, Any], console: Console) -> str:
    from ..console.scores import cross_validation_words, self_training_words

    lines = []
    if summary.self_training is not None:
        lines += self_training_words(summary.self_training)
    if summary.cross_validation is not None:
        lines += cross_validation_words(summary.cross_validation)
        if given["folds_out"] is not None:
            lines.append(f"{given['folds_out']}: masks and uncertainty of the held-out images")
    model = () if summary.model == "model" else ("--model", summary.model)
    follows = next_command(console, "predict", *given["stores"], *model)
    lines.append(
        f"{summary.model}: fitted on {summary.pixels} pixels of {summary.images} images, "
        f"{summary.seconds:.0f} s" + (f". {follows}" if follows else "")
    )
    return "\n".join(lines)
