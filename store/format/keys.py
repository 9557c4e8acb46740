"""Operations on single keys of a Zarr store that zarr's arrays do not offer.

They use zarr's ``Store`` interface, so the store need not be a local folder.
"""

from zarr.abc.store import Store
from zarr.core.sync import collect_aiterator, sync

__all__ = [
    "LOCK",
    "PARTIAL",
    "exists",
    "list_folder",
    "list_numbers",
    "remove_folder",
    "remove_leftovers",
    "remove_partials",
]

LOCK = "plan.lock"
PARTIAL = ".partial"  # zarr's suffix of a key that is still being written


def exists(store: Store, key: str) -> bool:
    """Say whether a key is there."""
    return sync(store.exists(key))


def list_folder(store: Store, folder: str) -> tuple[str, ...]:
    """Return the names directly under a folder; none if there is no such folder."""
    return collect_aiterator(store.list_dir(folder))


def list_numbers(store: Store, folder: str) -> set[int]:
    """Return the keys under a folder that are numbers: the written chunks of a flag array.

    A killed writer leaves ``<key>.<random>.partial`` behind; those are no numbers.
    """
    return {int(name) for name in list_folder(store, folder) if name.isdecimal()}


def remove_folder(store: Store, folder: str) -> None:
    """Remove all keys under a folder; no error if there are none."""
    sync(store.delete_dir(folder))


def remove_partials(store: Store, folder: str) -> None:
    """Remove what killed writers left directly under a folder, while no other run writes there."""
    for name in list_folder(store, folder):
        if name.endswith(PARTIAL):
            sync(store.delete(f"{folder}/{name}".lstrip("/")))


def remove_leftovers(store: Store) -> None:
    """Remove what the locks of older versions left in the root; call it with the lock held."""
    for name in list_folder(store, ""):
        if name.startswith(f"{LOCK}."):
            sync(store.delete(name))
