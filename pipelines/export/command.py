"""The command line of ``dseg export``: parse, call, report."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..console.options import output_options, overwrite_option
from ..console.output import console_of, report
from ..console.values import existing_folder

__all__ = ["export"]


@click.command()
@click.argument("student", type=existing_folder)
@click.option(
    "--onnx",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write: ONNX, opset 18.",
)
@overwrite_option
@output_options
def export(**given: Any) -> int:
    """Write a student as a file that other programs run without dseg.

    STUDENT is a folder from `dseg distil`. The ONNX file takes images of any height and width,
    `image` (batch, 3, height, width) float32 in [0, 1], and returns `scores` (batch, classes,
    height, width). Its metadata holds the names of the classes and the size at which the student
    learned to see images.

    \b
    dseg export student/ --onnx student.onnx
    """
    from .config import ExportConfig
    from .run import export as run

    console, as_json = console_of(given)
    summary = run(ExportConfig(**given), console)
    checked = (
        "not compared with PyTorch, for onnxruntime is not installed"
        if summary.difference is None
        else f"differs from PyTorch by {summary.difference:.1e} of the largest score"
    )
    text = f"{summary.onnx}: {summary.n_bytes / 1e6:.1f} MB, {summary.classes} classes; {checked}"
    return report(asdict(summary), text, as_json)
