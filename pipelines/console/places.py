"""Arguments that are a path or a URL, and the options of the connection to URLs."""

from pathlib import Path
from typing import Any

import click

from ...store.errors import InputError
from ...store.urls.location import Location, UrlPath, location
from ...store.urls.options import StorageOptions, parse_storage_options

__all__ = [
    "existing_folder_or_url",
    "existing_path_or_url",
    "folder_or_url",
    "storage_option",
    "storage_options",
]

_KEY = "dseg.storage_options"


class _Place(click.ParamType[Location]):
    """A path, or a URL or a zip file in its place.

    Whether there is anything at a URL is not asked here: it takes time, and whoever reads it says.
    """

    name = "path or url"

    def __init__(self, *, exists: bool = False, file_okay: bool = True) -> None:
        self._path = click.Path(exists=exists, file_okay=file_okay, path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        """Return a `Path` or `UrlPath`."""
        try:
            found = location(value, () if ctx is None else storage_options(ctx))
        except InputError as error:
            self.fail(str(error), param, ctx)
        if isinstance(found, UrlPath):
            return found
        local = self._path.convert(value, param, ctx)
        assert isinstance(local, Path)  # as ``path_type`` says
        return local


existing_folder_or_url = _Place(exists=True, file_okay=False)
existing_path_or_url = _Place(exists=True)
folder_or_url = _Place(file_okay=False)


def _remember(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> None:
    try:
        context.meta[_KEY] = parse_storage_options(texts)
    except InputError as error:
        raise click.BadParameter(str(error), context, parameter) from error


# Eager: the types of other parameters need its values. They are kept out of what a command is
# given, so that nothing prints or saves them.
storage_option = click.option(
    "--storage-option",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_remember,
    metavar="KEY=VALUE",
    help="Of what is given by URL: an option of the connection, such as region=eu-west-1 or "
    "endpoint=https://…; may be repeated. Credentials are best given in the environment.",
)


def storage_options(context: click.Context) -> StorageOptions:
    """Return the options of the connection that a command was given."""
    options: StorageOptions = context.meta.get(_KEY, ())
    return options
