"""The command line of ``dseg convert``: parse, call, report."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..console.options import (
    ignore_option,
    list_option,
    min_size_option,
    output_options,
    overwrite_option,
)
from ..console.output import console_of, report
from ..console.places import existing_folder_or_url, storage_option
from ..console.values import existing_folder

__all__ = ["FORMATS", "convert"]

FORMATS = (
    *("coco", "cvat", "geojson", "geojson-map", "geotiff", "imagej", "label-studio", "labelme"),
    *("napari", "ome-zarr", "tiff"),
)
"""Those of `registry.writable`, which is not imported here: it takes time."""


@click.command()
@click.argument("masks", type=existing_folder_or_url)
@click.option("--to", type=click.Choice(FORMATS), required=True, help="Format to write.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write for coco and cvat; for the others a folder.",
)
@click.option(
    "--model",
    type=existing_folder,
    help="Model that names the classes; default: classes.json or classes.txt with the masks, else "
    "model/ if it made them.",
)
@click.option(
    "--images",
    type=existing_folder_or_url,
    help="Folder of the images; needed for label maps that `dseg predict` did not write, and for "
    "geotiff and geojson-map.",
)
@click.option(
    "--prefix",
    default="",
    help="What stands before the name of each image, such as ../photos/ or a URL that ends in /.",
)
@click.option(
    "--leave-out",
    multiple=True,
    metavar="CLASS",
    help="Class whose pixels are not written; may be repeated. Default: one that is called "
    "background.",
)
@ignore_option
@min_size_option
@list_option
@storage_option
@overwrite_option
@output_options
def convert(**given: Any) -> int:
    """Write masks as annotations that other programs open, to look at them or to correct them.

    MASKS is a folder from `dseg predict`, or one of label maps. Each object, of pixels of one class
    that are connected, becomes an annotation, exact to the pixel; Label Studio gets a brush for
    each class.

    \b
    dseg convert masks/ --to coco --out masks.json
    dseg convert masks/ --to labelme --out annotations/ --prefix ../photos/ --min-size 50
    """
    from .config import ConvertConfig
    from .run import convert as run

    console, as_json = console_of(given)
    summary = run(ConvertConfig(**given), console)
    without = f", without '{', '.join(summary.left_out)}'" if summary.left_out else ""
    text = (
        f"{summary.out}: {summary.images} images, {len(summary.classes)} classes{without}; "
        f"{summary.to}"
    )
    return report(asdict(summary), text, as_json)
