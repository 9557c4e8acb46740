"""The metadata of a store's groups and arrays: they follow from its header, and must agree with it.

Those of older versions and of other writers may differ in what is the same to a reader.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from ..format.layout import COPY, Header, array_layouts
from ..seals import SEAL
from ..texts import read_json

__all__ = ["DOCUMENT", "damaged_documents", "documents_of", "find_damaged_documents"]

DOCUMENT = "zarr.json"
_OLDER_FILLS = (0, -1)  # of tables


def documents_of(header: Header, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the metadata of every group and array of a store but its root, by key.

    Parameters
    ----------
    header : Header
    attributes : mapping
        Those of its root, from which it was read.
    """
    data: dict[str, Buffer] = {}
    group = zarr.open_group(MemoryStore(data), mode="w", zarr_format=3)
    for name, layout in array_layouts(header).items():
        layout.create(group, name)
    if SEAL in attributes:
        layers: Any = group["layers"]
        layers.attrs.put({COPY: dict(attributes)})
    return {key: value.to_bytes() for key, value in data.items() if key != DOCUMENT}


def find_damaged_documents(
    path: Path, header: Header, attributes: Mapping[str, Any]
) -> dict[str, str]:
    """Return what is wrong with the metadata of a store, in words, by key.

    Parameters
    ----------
    path : Path
        Of the store.
    header, attributes
        As for `documents_of`.
    """
    return damaged_documents(path, documents_of(header, attributes))


def damaged_documents(path: Path, documents: Mapping[str, bytes]) -> dict[str, str]:
    """Return what is wrong with metadata of a Zarr store, in words, by key.

    Parameters
    ----------
    path : Path
    documents : mapping
        What they should be, by key; arrays may be longer.
    """
    found = {}
    for key, expected in documents.items():
        try:
            same = _alike(read_json(path / key), json.loads(expected))
            fault = None if same else "is not as the feature spec requires"
        except FileNotFoundError:
            fault = "is missing"
        except (ValueError, OSError) as error:
            fault = f"cannot be read: {error}"
        if fault is not None:
            found[key] = fault
    return found


def _alike(there: Any, expected: Mapping[str, Any]) -> bool:
    """Whether metadata are as expected, or as an older dseg or another writer may have left them.

    An array may be longer, for planning may have been interrupted; fills of tables were others; and
    anybody may add attributes.
    """
    known = "consolidated_metadata"
    if not isinstance(there, dict) or there.keys() - {known} != expected.keys() - {known}:
        return False
    ours, theirs = dict(expected), {key: there[key] for key in expected if key in there}
    ours.pop(known, None)
    wanted, given = ours.pop("attributes"), theirs.pop("attributes")
    if not isinstance(given, dict) or any(given.get(key) != wanted[key] for key in wanted):
        return False
    if "shape" in ours:
        least, length = ours.pop("shape"), theirs.pop("shape")
        try:
            if length[0] < least[0] or length[1:] != least[1:]:
                return False
        except (TypeError, LookupError):
            return False
        if type(ours["fill_value"]) is int and theirs["fill_value"] in _OLDER_FILLS:
            del theirs["fill_value"], ours["fill_value"]
    return theirs == ours
