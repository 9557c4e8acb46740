"""The command line of ``dseg predict``: parse, call, report."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..cluster.client import ClusterOptions
from ..console.options import (
    backbone_option,
    cluster_options,
    device_option,
    dry_run_option,
    list_option,
    min_size_option,
    model_option,
    output_options,
    overwrite_option,
    resources_option,
    unreadable_option,
    white_option,
)
from ..console.output import console_of, next_command, report
from ..console.places import (
    existing_folder_or_url,
    existing_path_or_url,
    folder_or_url,
    storage_option,
    storage_options,
)
from ..console.progress import Console
from ..console.unused_options import refuse_idle
from ..console.values import SHARD
from ..inputs.reading_options import max_pixels_option

if TYPE_CHECKING:
    from .config import PredictSummary

__all__ = ["predict"]


@click.command()
@click.argument("sources", type=existing_path_or_url, nargs=-1)
@model_option
@click.option(
    "--out",
    type=folder_or_url,
    default="masks",
    show_default=True,
    help="Output folder of the masks, or a URL.",
)
@click.option(
    "--checkpoint",
    help="For images: new location of the network that the model's features come from.",
)
@backbone_option
@click.option(
    "--images",
    type=existing_folder_or_url,
    help="For --overlay with a store: the folder of its images.",
)
@click.option(
    "--probabilities",
    is_flag=True,
    help="Also write the members' mean class probabilities, .npy float16.",
)
@click.option(
    "--uncertainty", is_flag=True, help="Also write each pixel's uncertainty, .npy float32."
)
@click.option(
    "--overlay", is_flag=True, help="Also write the masks drawn over the images, and a legend."
)
@click.option(
    "--paper",
    is_flag=True,
    help="Vote at the network's size and write masks of that size, as published.",
)
@min_size_option
@click.option("--batch-size", type=click.IntRange(1), help="Images per batch (CPU 1, GPU 8).")
@click.option("--shard", type=SHARD, help="Process only part i (from 0) of n: for job arrays.")
@white_option
@max_pixels_option
@unreadable_option("skip")
@list_option
@storage_option
@cluster_options
@resources_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def predict(context: click.Context, /, **given: Any) -> int:
    """Write masks for a feature store, a folder of images, or single images.

    SOURCES is one of these; the default is the store, or the stores, that the model was fitted on.
    Masks are index PNGs of each image's own size. predictions.jsonl in the same folder lists them
    with each image's uncertainty. If the command is interrupted, repeat it to continue.

    \b
    dseg predict feats.zarr
    dseg predict photos/ --model model/ --out masks/ --overlay
    dseg predict one.jpg other.jpg
    """
    from ..inputs.image_list import duration
    from .config import PredictConfig
    from .run import predict as run

    refuse_idle(context, _idle(given))
    console, as_json = console_of(given)
    given["cluster"] = ClusterOptions.taken_from(given)
    summary = run(PredictConfig(**given, storage=storage_options(context)), console)
    text = (
        f"{summary.masks}: {summary.predicted} masks written, {summary.unchanged} unchanged, "
        f"{len(summary.failed)} failed; {summary.seconds:.0f} s"
    )
    if given["dry_run"]:
        text = (
            f"{summary.masks}: {summary.images - summary.unchanged} masks to write, about "
            f"{duration(summary.seconds)}, {summary.n_bytes / 1e6:.1f} MB and "
            f"{summary.peak_memory / 1e6:.0f} MB of memory for the whole process; nothing written "
            "(--dry-run)"
        )
    elif not console.quiet:
        text = "\n".join([text, *_what_next(summary, console)])
    return report(asdict(summary), text, as_json, summary.failed)


def _idle(given: dict[str, Any]) -> dict[str, str]:
    """Return the options of `predict` that it would not use."""
    idle = {}
    if all((source / "zarr.json").is_file() for source in given["sources"]):
        why = "the features come from a store, and the option is for images"
        idle = {"checkpoint": why, "backbone": why, "batch_size": why}
    if not given["overlay"]:
        idle["images"] = "it is used only with --overlay"
    return idle


def _what_next(summary: "PredictSummary", console: Console) -> list[str]:
    """Return the lines of what masks are good for."""
    from ..inputs.image_list import named
    from ..masks.manifest import FILE

    lines = []
    if summary.most_uncertain:
        lines.append(
            f"Most worth labelling next: {named(summary.most_uncertain)} (highest "
            f"image_uncertainty in {summary.masks}/{FILE})"
        )
    if summary.predicted + summary.unchanged:
        lines.append(next_command(console, "evaluate", summary.masks, "truth/"))
    return lines
