"""The command line of ``dseg suggest``: parse, call, report."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console.options import device_option, list_option, model_option, output_options
from ..console.output import console_of, report
from ..console.places import existing_folder_or_url, existing_path_or_url, storage_option

if TYPE_CHECKING:
    from .config import Suggestion

__all__ = ["suggest"]


@click.command()
@click.argument("stores", type=existing_folder_or_url, nargs=-1)
@model_option
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Number of images to suggest.",
)
@click.option(
    "--labels",
    type=existing_path_or_url,
    help="Labels, in any form: images that have some are not suggested either.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the stems of the images, one per line.",
)
@list_option
@storage_option
@device_option
@output_options
def suggest(**given: Any) -> int:
    """Suggest which images to label next, and where in them.

    Looks at all images of the feature store that the model was not trained on. Prefers images on
    which the members of the ensemble disagree, and which differ from the labelled ones and from
    each other. For each it names up to three regions, where the members disagree most. STORES are
    by default those that the model was fitted on.

    \b
    dseg suggest feats.zarr --count 10
    dseg suggest feats.zarr --model model/ --labels labels/ --out next.txt
    """
    from .config import SuggestConfig
    from .run import suggest as run

    console, as_json = console_of(given)
    found = run(SuggestConfig(**given), console)
    rows = [_row(rank, one) for rank, one in enumerate(found.suggestions, 1)]
    rows.append(
        f"{len(found.suggestions)} of {found.candidates} images without labels; "
        f"{found.seconds:.0f} s"
    )
    return report(asdict(found), "\n".join(rows), as_json, found.failed)


def _row(rank: int, one: "Suggestion") -> str:
    places = ", ".join(f"{r.width}x{r.height} at {r.left},{r.top}" for r in one.regions)
    where = f"  {places}" if places else ""
    return f"{rank:>3}  {one.uncertainty:.3f}  {one.image}{where}"
