"""The command line of ``dseg evaluate``: parse, call, report."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..console.options import ignore_option, list_option, output_options
from ..console.output import console_of, report
from ..console.places import existing_folder_or_url, existing_path_or_url, storage_option
from ..console.scores import score_table

if TYPE_CHECKING:
    from .config import EvaluateSummary

__all__ = ["evaluate"]


@click.command()
@click.argument("masks", type=existing_folder_or_url)
@click.argument("labels", type=existing_path_or_url)
@ignore_option
@click.option(
    "--paper",
    is_flag=True,
    help="Count as the published code does: a class that is absent has IoU 0, and predictions on "
    "unlabelled pixels enlarge the union.",
)
@list_option
@storage_option
@output_options
def evaluate(**given: Any) -> int:
    """Score masks against label maps: IoU per class, mIoU, pixel accuracy.

    \b
    dseg evaluate masks/ labels/ --list test.txt
    """
    from .config import EvaluateConfig
    from .run import evaluate as run

    console, as_json = console_of(given)
    summary = run(EvaluateConfig(**given), console)
    rows = score_table(summary.iou, summary.mean_iou, summary.pixel_accuracy)
    width = len(rows[0]) - 8
    rows.append(f"{'images':<{width}}  {summary.images:6d}")
    if summary.others is not None:
        rows.append(_of_others(summary))
    return report(asdict(summary), "\n".join(rows), as_json)


def _of_others(summary: "EvaluateSummary") -> str:
    """Return a line about the images that the model has not learnt from."""
    count, others = summary.learnt_from, summary.others
    assert others is not None
    if others.images == 0:
        return f"The model was trained on all {count} images: on other images it may be much worse"
    unknown = summary.images - others.images - (count or 0)
    less = f" (for {unknown} this is unknown)" if unknown else ""
    if others.mean_iou is None or others.pixel_accuracy is None:
        scores = "no labelled pixel"
    else:
        scores = f"mIoU {others.mean_iou:.4f}, pixel accuracy {others.pixel_accuracy:.4f}"
    return (
        f"The model was trained on {count} of these images{less}; on the {others.images} others: "
        f"{scores}"
    )
