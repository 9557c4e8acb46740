"""The command lines of ``dseg labels``: parse, call, report."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..console.options import ignore_option, list_option, output_options, overwrite_option
from ..console.output import MOST_LISTED, console_of, next_command, report
from ..console.places import existing_path_or_url, storage_option
from ..console.values import existing_file

if TYPE_CHECKING:
    from .config import CheckSummary

__all__ = ["labels"]

F = TypeVar("F", bound=Callable[..., Any])

WRONG = 1


@click.group()
def labels() -> None:
    """Check label maps of any form, and convert them to plain ones.

    \b
    dseg labels check photos/ labels/
    dseg labels convert photos/ labels/ --out plain/
    """


def _what(command: F) -> F:
    """Add the arguments and options that say what the labels are."""
    for add in reversed(
        (
            click.argument("images", type=existing_path_or_url),
            click.argument("labels", type=existing_path_or_url),
            click.option(
                "--classes",
                "classes_file",
                type=existing_file,
                help="File that names the classes, with ids or colours: like classes.json, "
                "classes.txt, CVAT's labelmap.txt or a .csv of name,r,g,b.",
            ),
            click.option(
                "--background",
                default="background",
                show_default=True,
                help="Name of the class of what nothing marks (0 in black-and-white masks, "
                "transparent pixels, outside of shapes); `unlabelled` leaves it without a class.",
            ),
            ignore_option,
            list_option,
            storage_option,
        )
    ):
        command = add(command)
    return command


@labels.command()
@_what
@output_options
def check(**given: Any) -> int:
    """Show what would be used of label maps: their form, pixels per class, what is wrong.

    IMAGES is the folder of the images, or a feature store of them. LABELS is a folder of label
    maps, an annotation file or a folder of such. Exit code 0 if all can be used, else 1.

    \b
    dseg labels check photos/ labels/
    dseg labels check feats.zarr coco.json
    """
    from .check import check as run
    from .config import LabelsConfig

    console, as_json = console_of(given)
    summary = run(LabelsConfig(**given), console)
    report(asdict(summary), _in_words(summary), as_json)
    return WRONG if summary.problems else 0


@labels.command()
@_what
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write; of some formats of --to a file.",
)
@click.option(
    "--to",
    metavar="FORMAT",
    help="Write annotations of this format, such as coco, instead of label maps; see `dseg "
    "convert`.",
)
@overwrite_option
@output_options
def convert(**given: Any) -> int:
    """Write label maps of any form as plain ones: index PNGs and classes.json.

    \b
    dseg labels convert photos/ labels/ --out plain/
    dseg labels convert photos/ masks/ --classes colours.json --out plain/
    dseg labels convert photos/ labels/ --to coco --out coco.json
    """
    from .config import ConvertLabelsConfig
    from .convert import convert as run

    console, as_json = console_of(given)
    summary = run(ConvertLabelsConfig(**given), console)
    text = (
        f"{summary.out}: {summary.images} label maps, {len(summary.classes)} classes "
        f"({summary.described})"
    )
    if given["to"] is None:
        follows = next_command(console, "fit", "feats.zarr", summary.out)
        text += f". {follows}" if follows else ""
    return report(asdict(summary), text, as_json)


def _in_words(summary: "CheckSummary") -> str:
    lines = [
        f"{summary.labels}: {summary.described or 'not recognised'}",
        f"{summary.labelled} of {summary.images} images have a label map that can be used",
    ]
    total = sum(one["pixels"] for one in summary.classes.values()) + summary.unlabelled
    width = max([len("unlabelled"), *map(len, summary.classes)])
    bare = sum(not one["pixels"] for one in summary.classes.values())
    for name, one in summary.classes.items():
        if bare > MOST_LISTED and not one["pixels"]:
            continue
        share = 100 * one["pixels"] / total
        lines.append(
            f"  {name:<{width}}  {one['pixels']:>12} pixels  {share:5.1f} %  in "
            f"{one['label_maps']} label maps"
        )
    if bare > MOST_LISTED:
        lines.append(f"  {bare} more classes have no pixel")
    if summary.unlabelled:
        share = 100 * summary.unlabelled / total
        lines.append(f"  {'unlabelled':<{width}}  {summary.unlabelled:>12} pixels  {share:5.1f} %")
    lines += [f"Note: {note}" for note in summary.notes]
    for problem in summary.problems[:MOST_LISTED]:
        where = "" if problem.file is None else f"{problem.file}: "
        lines.append(f"Problem: {where}{problem.words}")
    if len(summary.problems) > MOST_LISTED:
        lines.append(f"… and {len(summary.problems) - MOST_LISTED} more; --json lists all")
    return "\n".join(lines)
