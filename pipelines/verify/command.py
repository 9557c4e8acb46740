"""The command line of ``dseg verify``: parse, call, report."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..console.options import backbone_option, device_option, output_options
from ..console.output import MOST_LISTED, console_of, report
from ..console.unused_options import refuse_idle
from ..console.values import existing_folder, folder

if TYPE_CHECKING:
    from .config import VerifySummary

__all__ = ["verify"]

WRONG = 1


@click.command()
@click.argument("path", type=folder)
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what can be mended: remove what killed runs left and what is damaged, so that the "
    "command that made it makes exactly that again; restore a store's tables.",
)
@click.option(
    "--images",
    type=existing_folder,
    help="With --repair, for a feature store: the folder of its images, to extract damaged ones "
    "again.",
)
@click.option(
    "--checkpoint", help="With --images: new location of the network that the features come from."
)
@backbone_option
@device_option
@output_options
@click.pass_context
def verify(context: click.Context, /, **given: Any) -> int:
    """Check that what dseg wrote is still as it was written.

    PATH is a feature store, a model, a student, a folder of masks, drawn images, or synthetic
    images with masks. Every byte of it is read. Exit code 0 if it is whole, 1 if something is
    damaged, missing, or belongs to nothing; images that are not finished yet are no damage.

    \b
    dseg verify feats.zarr
    dseg verify feats.zarr --repair --images photos/
    dseg verify masks/ --repair
    """
    from .config import VerifyConfig
    from .run import verify as run

    if given["images"] is None:
        why = "it is used only with --images"
        refuse_idle(context, {"checkpoint": why, "backbone": why, "device": why})
    console, as_json = console_of(given)
    summary = run(VerifyConfig(**given), console)
    report({**asdict(summary), "whole": summary.whole}, _in_words(summary), as_json)
    return 0 if summary.whole else WRONG


def _in_words(summary: "VerifySummary") -> str:
    count = f", {summary.images} images" if summary.images else ""
    lines = [f"{summary.path}: {summary.kind}{count}; {_verdict(summary)}, {summary.seconds:.0f} s"]
    for fault in summary.faults[:MOST_LISTED]:
        done = " (repaired)" if fault["repaired"] else ""
        image = "" if fault["image"] is None else f"image '{fault['image']}', "
        lines.append(f"  {image}{fault['file']}: {fault['words']}{done}")
    if len(summary.faults) > MOST_LISTED:
        lines.append(f"  … and {len(summary.faults) - MOST_LISTED} more; --json lists all")
    if summary.extracted:
        lines.append(f"{summary.extracted} images extracted again")
    if summary.removed:
        lines.append(f"{len(summary.removed)} images are to be made again: {summary.again}")
    elif summary.again:
        lines.append(summary.again[0].upper() + summary.again[1:])
    if summary.set_aside is not None:
        lines.append(f"Files that may be yours were moved to '{summary.set_aside}'")
    return "\n".join(lines)


def _verdict(summary: "VerifySummary") -> str:
    wrong = len(summary.faults)
    if not wrong:
        return "whole"
    left = sum(not fault["repaired"] for fault in summary.faults)
    things = f"{wrong} fault{'s' if wrong > 1 else ''}"
    if left == wrong:
        return things
    return f"{things} repaired" if not left else f"{things}, {left} of them not repaired"
