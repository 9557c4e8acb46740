"""The command line of ``dseg info``: parse, call, report."""

from typing import Any

import click

from ..console.options import list_option, output_options
from ..console.output import console_of, report
from ..console.places import existing_folder_or_url, storage_option

__all__ = ["info"]


@click.command()
@click.argument("path", type=existing_folder_or_url)
@list_option
@storage_option
@output_options
def info(**given: Any) -> int:
    """Describe a feature store, a model or a student.

    \b
    dseg info feats.zarr
    dseg info model/
    dseg info student/
    """
    from .run import describe, in_words

    _, as_json = console_of(given)
    facts = describe(**given)
    return report(facts, in_words(facts), as_json)
