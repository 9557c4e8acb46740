"""The command line of ``dseg demo``: parse, call, report."""

from dataclasses import asdict
from typing import Any

import click

from ..console.options import device_option, output_options, overwrite_option
from ..console.output import console_of, report
from ..console.scores import score_table
from ..console.values import folder

__all__ = ["demo"]


@click.command()
@click.option(
    "--out",
    type=folder,
    default="dseg-demo",
    show_default=True,
    help="Output folder.",
)
@click.option("--checkpoint", help="Another network than the default of `dseg extract`.")
@device_option
@overwrite_option
@output_options
def demo(**given: Any) -> int:
    """Run all steps on drawn scenes: 12 labelled, 60 to predict; write a picture and scores.

    \b
    dseg demo
    """
    from .config import DemoConfig
    from .run import demo as run

    console, as_json = console_of(given)
    summary = run(DemoConfig(**given), console)
    rows = score_table(summary.iou, summary.mean_iou, summary.pixel_accuracy)
    rows.append(f"{summary.picture}: some of the masks as a picture; {summary.seconds:.0f} s")
    return report(asdict(summary), "\n".join(rows), as_json)
