"""The record of a folder of masks, wherever that is."""

from ...store.urls.location import Location, UrlPath
from .manifest import Manifest
from .manifest_objects import ManifestObjects

__all__ = ["open_manifest"]


def open_manifest(folder: Location) -> Manifest | ManifestObjects:
    """Return the record of a folder of masks: of a file, or of objects.

    Raises
    ------
    InputError
        If a name or path of a record leads out of the folder.
    """
    return ManifestObjects(folder) if isinstance(folder, UrlPath) else Manifest(folder)
