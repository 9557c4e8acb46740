"""The command line of ``dseg curve``: parse, call, report."""

from dataclasses import asdict
from typing import Any

import click

from ..console.options import (
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
from ..console.output import console_of, report
from ..console.places import existing_folder_or_url, existing_path_or_url, storage_option
from ..console.unused_options import refuse_idle_training
from ..console.values import NUMBERS, existing_file, folder

__all__ = ["curve"]


@click.command()
@click.argument("stores", type=existing_folder_or_url, nargs=-1, required=True)
@click.argument("labels", type=existing_path_or_url)
@click.option("--out", type=folder, default="curve", show_default=True, help="Output folder.")
@click.option(
    "--counts",
    type=NUMBERS,
    help="Numbers of labelled images to train on, such as 4,8,16; default: all that are not held "
    "out, half of them, a quarter, …",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of random draws of the training images.",
)
@click.option(
    "--test-list",
    type=existing_file,
    help="Score on these images, one stem per line; default: each draw holds out another fifth.",
)
@layers_option
@ignore_option
@training_options
@unreadable_option("stop")
@list_option
@storage_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def curve(context: click.Context, /, **given: Any) -> int:
    """Measure the mIoU by the number of labelled images, to decide whether to label more.

    Trains on increasing numbers of labelled images and scores on held-out ones; writes curve.json,
    curve.md, curve.png and curve.svg. If the command is interrupted, repeat it to continue; with
    more --draws or other --counts it adds to the existing results.

    \b
    dseg curve feats.zarr labels/
    dseg curve feats.zarr labels/ --counts 4,8,16 --draws 10 --max-steps 500
    dseg curve feats.zarr labels/ --list train.txt --test-list test.txt
    """
    from ..inputs.image_list import duration
    from .config import CurveConfig
    from .report import interval_words
    from .run import curve as run

    refuse_idle_training(context, given)
    console, as_json = console_of(given)
    summary = run(CurveConfig(**given), console)
    if given["dry_run"]:
        text = (
            f"{summary.curve}: {summary.cells - summary.done} trainings to do, about "
            f"{duration(summary.seconds)}; nothing written (--dry-run)"
        )
        return report(asdict(summary), text, as_json, summary.failed)
    lines = ["images    mIoU  95 % interval"]
    for point in summary.points:
        lines.append(f"{point.images:6d}  {point.mean_iou:6.3f}  {interval_words(point)}")
    lines += [summary.verdict, f"{summary.curve}: curve.md, curve.png; {summary.seconds:.0f} s"]
    return report(asdict(summary), "\n".join(lines), as_json, summary.failed)
