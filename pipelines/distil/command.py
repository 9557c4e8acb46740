"""The command line of ``dseg distil``: parse, call, report."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..console.options import (
    backbone_option,
    device_option,
    dry_run_option,
    ignore_option,
    list_option,
    output_options,
    run_options,
    steps_option,
    white_option,
)
from ..console.output import console_of, next_command, report
from ..console.values import (
    SEED,
    TIME,
    Finite,
    existing_file,
    existing_folder,
    existing_path,
    folder,
)
from ..inputs.reading_options import max_pixels_option

if TYPE_CHECKING:  # what it imports is for its run
    from .config import DistilEstimate, DistilSummary

__all__ = ["distil"]


@click.command()
@click.argument("source", type=existing_folder)
@click.argument("labels", type=existing_path, required=False)
@click.option(
    "--model",
    type=existing_folder,
    help="The teacher: a model of `dseg fit`, or another student; default: model.",
)
@click.option(
    "--out",
    type=folder,
    default="student",
    show_default=True,
    help="Output folder of the student.",
)
@click.option(
    "--images", type=existing_folder, help="Folder of the labelled images; default: SOURCE."
)
@click.option(
    "--labelled",
    "labelled_file",
    type=existing_file,
    help="Use only these label maps: a text file with one stem per line.",
)
@click.option(
    "--network",
    type=click.Choice(["fpn", "mobilenet", "segformer", "deeplab"]),
    default="fpn",
    show_default=True,
    help="The student's network; all but fpn need transformers.",
)
@click.option(
    "--recipe",
    type=click.Choice(["default", "paper"]),
    default="default",
    show_default=True,
    help="paper: as published, for --network deeplab: 20 epochs, the best by the labelled images.",
)
@click.option(
    "--size",
    type=click.IntRange(32),
    help="Longer side at which images are seen, in pixels (256); for a teacher of tiles, the "
    "tiles' side (the teacher's).",
)
@click.option(
    "--time", "seconds", type=TIME, help="Training time, such as 15m or 2h; default: 30m."
)
@steps_option
@click.option(
    "--flip/--no-flip",
    default=None,
    help="Mirror every other image; default: unless a class is named left or right.",
)
@click.option("--batch-size", type=click.IntRange(1), help="Images per step (8).")
@click.option(
    "--learning-rate", type=Finite(0, min_open=True), help="Highest learning rate (0.003)."
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of initial weights, order and variations.",
)
@click.option("--checkpoint", help="New location of the network that the model's features are of.")
@backbone_option
@ignore_option
@run_options
@white_option
@max_pixels_option
@list_option
@device_option
@dry_run_option
@output_options
def distil(**given: Any) -> int:
    """Train a small, fast network on what a model says of many images.

    SOURCE is a folder of images, which the model segments once, each pixel with its probabilities;
    or a folder with images/, labels/ and classes.txt, or a Zarr store, as `dseg synthesize` writes
    them. LABELS are label maps of some images, which are learnt from too. If the command is
    interrupted, repeat it to continue; with a longer --time or more --steps, a finished run
    continues too.

    \b
    dseg distil photos/ labels/ --model model/ --out student/
    dseg distil photos/ labels/ --model model/ --out student/ --time 2h --size 384
    dseg distil synthetic/ labels/ --images photos/ --out student/
    dseg predict new_photos/ --model student/
    """
    from .config import DistilConfig, DistilEstimate
    from .run import distil as run

    console, as_json = console_of(given)
    summary = run(DistilConfig(**given), console)
    if isinstance(summary, DistilEstimate):
        return report(asdict(summary), _estimate(summary), as_json, summary.failed)
    follows = next_command(console, "predict", "new_photos/", "--model", summary.student)
    text = _result(summary) + (f". {follows}" if follows else "")
    return report(asdict(summary), text, as_json, summary.failed)


def _estimate(summary: "DistilEstimate") -> str:
    from ..inputs.image_list import duration

    teacher = (
        f"the teacher segments {summary.to_segment} in about {duration(summary.teacher_seconds)} "
        f"({summary.soft_label_bytes / 1e6:.1f} MB of soft labels)"
        if summary.to_segment
        else "none to segment"
    )
    return (
        f"{summary.images} images, {summary.labelled} labelled ones, {summary.held_out} held out: "
        f"{teacher}; {summary.steps} steps, {summary.done} of them done, the rest in about "
        f"{duration(summary.training_seconds)}; up to {summary.n_bytes / 1e6:.0f} MB on disk, "
        f"where {summary.free_bytes / 1e9:.1f} GB are free, and {summary.peak_memory / 1e6:.0f} MB "
        "of memory for the whole process; nothing written (--dry-run)"
    )


def _result(summary: "DistilSummary") -> str:
    from ..inputs.image_list import duration

    best = summary.held_out_miou
    return (
        f"{summary.student}: {summary.steps} steps on {summary.images} images and "
        f"{summary.labelled} labelled ones in {duration(summary.seconds)}"
        + (", finished before" if summary.finished_before else "")
        + (
            ""
            if best is None
            else f"; mIoU {best:.3f} on {summary.held_out} held-out images, against "
            f"{summary.held_out_against}"
        )
    )
