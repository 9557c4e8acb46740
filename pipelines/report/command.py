"""The command line of ``dseg report``: parse, call, report."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..console.options import output_options, overwrite_option
from ..console.output import console_of
from ..console.output import report as tell
from ..console.places import existing_folder_or_url, existing_path_or_url, storage_option
from ..console.values import existing_folder

__all__ = ["report"]


@click.command()
@click.argument("model", type=existing_folder)
@click.option(
    "--folds-out",
    type=existing_folder,
    help="Folder of held-out masks that `dseg fit --folds-out` wrote with this model; default: "
    "where it wrote them.",
)
@click.option(
    "--labels",
    type=existing_path_or_url,
    help="Label maps, in any form; default: those that the model was fitted on.",
)
@click.option(
    "--images",
    type=existing_folder_or_url,
    help="Folder of the images, to show masks over them; without it masks are shown alone.",
)
@click.option(
    "--masks",
    type=existing_folder_or_url,
    help="Folder of masks that `dseg predict` wrote with this model: from them the report chooses "
    "what to label next.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    help="The file to write.",
)
@storage_option
@overwrite_option
@output_options
def report(**given: Any) -> int:
    """Write one HTML page: how good the masks are, which labels look wrong, what to label next.

    The page is a single file of at most 10 MB, for any browser; it needs no network. All scores are
    those of held-out images (`dseg fit --folds K --folds-out DIR`). A section whose input is
    missing says which command makes it.

    \b
    dseg report model/ --folds-out held-out/ --images photos/
    dseg report model/ --folds-out held-out/ --images photos/ --masks masks/ --out report.html
    """
    from .config import ReportConfig
    from .run import report as run

    console, as_json = console_of(given)
    summary = run(ReportConfig(**given), console)
    lines = []
    if summary.mean_iou is not None and summary.interval is not None:
        low, high = summary.interval
        lines.append(
            f"mIoU {summary.mean_iou:.3f} on {summary.images} held-out images; 95 % interval "
            f"{low:.3f} to {high:.3f}; {len(summary.suspicious)} suspicious labels shown"
        )
    if summary.label_next:
        stems = [one.stem for one in summary.label_next]
        more = ", …" if len(stems) > 3 else ""
        lines.append(f"label next: {', '.join(stems[:3])}{more}")
    if summary.missing:
        lines.append(f"not in the report, which says how to add them: {', '.join(summary.missing)}")
    lines.append(f"{summary.report}: {summary.n_bytes / 1e6:.1f} MB; open it in a browser")
    return tell(asdict(summary), "\n".join(lines), as_json)
