"""Views: some layers of a store, or the concatenated features of several, read like one store.

Nothing is copied on disk: a view reads the chunks of its stores and returns the selected channels.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SpecMismatchError, StoreError
from ..spec import FeatureSpec
from .image_tables import StoredImage
from .joined_spec import joined_order, joined_spec
from .protocol import Features
from .reader import FeatureStore

__all__ = ["FeatureView", "select_layers", "layer_names", "features_for_spec", "join_features"]

Layers = tuple[int, ...]


def join_features(stores: Sequence[FeatureStore], names: Sequence[str] | None = None) -> Features:
    """Return the features of stores, concatenated: all layers, or those named.

    Parameters
    ----------
    stores : sequence of FeatureStore
        Of the same images; their sha256 are compared when an image is first read.
    names : sequence of str, optional
        Layers as `select_layers` takes them.

    Raises
    ------
    InputError
        If the stores cannot be joined, two have the same feature spec, or a layer is missing.
    """
    if len(stores) == 1 and names is None:
        return stores[0]
    specs = [store.spec for store in stores]
    _check_distinct_specs(stores)
    layers = select_layers(specs, names)
    unused = [f"'{s.path}'" for s, numbers in zip(stores, layers, strict=True) if not numbers]
    if unused:
        raise InputError(f"no layer of {unused[0]} is chosen: leave that store out")
    return FeatureView(tuple(stores), layers)


def features_for_spec(stores: Sequence[FeatureStore], spec: FeatureSpec) -> Features:
    """Return the features that a spec describes; the stores may hold more layers than it names.

    Parameters
    ----------
    stores : sequence of FeatureStore
        As many as the spec joins, in any order.
    spec : FeatureSpec

    Raises
    ------
    SpecMismatchError
        If the stores hold other features; names the differences.
    """
    parts = list(spec.parts) or [spec]
    if len(stores) != len(parts):
        networks = ", ".join(f"'{part.source}'" for part in parts)
        raise SpecMismatchError(
            f"the model was fitted on the features of {_counted(len(parts))} (extracted with "
            f"{networks}), but got {_counted(len(stores))}: {_quoted(stores)}. Give "
            "the same number of stores, one for each network"
        )
    ordered = _match_stores(stores, parts)
    if ordered is None:
        raise SpecMismatchError(_mismatch(stores, parts))
    if not spec.parts and ordered[0].spec.hash == spec.hash:
        return ordered[0]
    layers = tuple(_layer_numbers(s, part) for s, part in zip(ordered, parts, strict=True))
    return FeatureView(ordered, layers)


def _match_stores(
    stores: Sequence[FeatureStore], parts: Sequence[FeatureSpec]
) -> tuple[FeatureStore, ...] | None:
    """Assign a different store to each spec, or return None.

    A search with backtracking, for a store with many layers may match several of the specs.
    """
    if not parts:
        return ()
    for store in stores:
        if _has_layers(store, parts[0]):
            rest = _match_stores([other for other in stores if other is not store], parts[1:])
            if rest is not None:
                return (store, *rest)
    return None


def _mismatch(stores: Sequence[FeatureStore], parts: Sequence[FeatureSpec]) -> str:
    """Say which spec matches no store and, if one store is left over, how that one differs."""
    missing = [part for part in parts if not any(_has_layers(store, part) for store in stores)]
    unmatched = [store for store in stores if not any(_has_layers(store, part) for part in parts)]
    what = _quoted(unmatched or stores)
    words = f"the model was fitted on other features than {what} " + (
        "holds" if len(unmatched) == 1 else "hold"
    )
    if len(missing) == len(unmatched) == 1:
        words += ": " + "; ".join(unmatched[0].spec.differences(missing[0]))
        words += " ('here' is the store, 'there' the model)"
    elif missing:
        words += ": none of them was extracted with " + ", ".join(
            f"'{part.source}'" for part in missing
        )
    return f"{words}. Fit a model on these features, or give stores with the model's feature spec"


def _check_distinct_specs(stores: Sequence[FeatureStore]) -> None:
    """Refuse two stores of one spec: the same features twice, which no name could tell apart."""
    by_hash: dict[str, FeatureStore] = {}
    for store in stores:
        match = by_hash.setdefault(store.spec.hash, store)
        if match is not store:
            raise InputError(
                f"{match.where} and {store.where} contain features of the same feature spec: "
                "give only one of them"
            )


def _counted(n: int) -> str:
    return "one store" if n == 1 else f"{n} stores"


def _quoted(stores: Sequence[FeatureStore]) -> str:
    return " and ".join(store.where for store in stores)


def _layer_numbers(store: FeatureStore, part: FeatureSpec) -> Layers:
    """Return the numbers, in a store, of those layers of a spec that it has."""
    number = {layer: at for at, layer in enumerate(store.spec.layers)}
    return tuple(number[layer] for layer in part.layers if layer in number)


def _has_layers(store: FeatureStore, part: FeatureSpec) -> bool:
    """Whether a store has the layers of a spec, made in the same way."""
    # The hash covers backbone, noise and preprocessing besides the layers.
    layers = tuple(store.spec.layers[at] for at in _layer_numbers(store, part))
    return replace(store.spec, layers=layers).hash == part.hash


def select_layers(specs: Sequence[FeatureSpec], names: Sequence[str] | None) -> tuple[Layers, ...]:
    """Return, for each store, the numbers of the named layers, in feature order.

    Parameters
    ----------
    specs : sequence of FeatureSpec
    names : sequence of str or None
        Each a `LayerSpec.name`: "<timestep>:<block>", without noise "<block>", "filters" or
        "pixels"; of several stores with the store's number, from 1, before it: "2/11". None: all.

    Raises
    ------
    InputError
        If there is no layer of that name, or one is named twice.
    """
    if names is None:
        return tuple(tuple(range(len(spec.layers))) for spec in specs)
    prefixes = [""] if len(specs) == 1 else [f"{n}/" for n in range(1, len(specs) + 1)]
    location = {
        prefix + layer.name: (number, at)
        for number, (prefix, spec) in enumerate(zip(prefixes, specs, strict=True))
        for at, layer in enumerate(spec.layers)
    }
    unknown = [name for name in names if name not in location]
    if unknown or not names:
        what = f"there is no layer '{unknown[0]}'" if unknown else "no layer is given"
        raise InputError(f"{what}: available are {', '.join(location)}")
    repeated = [name for name in names if list(names).count(name) > 1]
    if repeated:
        raise InputError(f"layer '{repeated[0]}' is given more than once")
    wanted = sorted(location[name] for name in names)
    return tuple(tuple(at for n, at in wanted if n == number) for number in range(len(specs)))


def layer_names(specs: Sequence[FeatureSpec]) -> tuple[str, ...]:
    """Return the names of all layers of `join_features`, as `select_layers` takes them.

    Parameters
    ----------
    specs : sequence of FeatureSpec
        Of the stores; of several, each extra layer is listed once.
    """
    if len(specs) == 1:
        return tuple(layer.name for layer in specs[0].layers)
    return tuple(f"{n + 1}/{specs[n].layers[at].name}" for n, at in joined_order(specs))


class FeatureView:
    """Selected layers of stores of the same images, see `Features`.

    Images and rows are numbered as in the first store; an image is complete if all stores have it
    complete.

    Parameters
    ----------
    stores : tuple of FeatureStore
    layers : tuple of tuple of int
        For each store, the numbers of its layers, ascending.
    """

    def __init__(self, stores: tuple[FeatureStore, ...], layers: tuple[Layers, ...]) -> None:
        self.stores, self._layers = stores, layers
        parts = [
            replace(store.spec, layers=tuple(store.spec.layers[at] for at in numbers))
            for store, numbers in zip(stores, layers, strict=True)
        ]
        self.spec = parts[0] if len(parts) == 1 else joined_spec(parts)
        self._channel_slots = self._find_channel_slots(parts)
        self._others = [{image.stem: image for image in store.images} for store in stores[1:]]
        if not all(any(i.stem in other for i in stores[0].images) for other in self._others):
            raise InputError(
                f"{self.where} have no image in common: stores are joined by image name"
            )
        self.images = tuple(self._joined(image) for image in stores[0].images)
        self._checked: set[int] = set()
        self._check_lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _view_once, (self.stores, self._layers)

    @property
    def where(self) -> str:
        """The stores, in quotes."""
        return _quoted(self.stores)

    @property
    def chunk_bytes(self) -> int:
        """The most bytes that `map` holds: it reads whole maps of its stores, see `Features`."""
        return max(
            sum(
                self.stores[n].spec.map_bytes(size) for n in {number for number, _ in channel_slots}
            )
            for size, channel_slots in self._channel_slots.items()
        )

    def rows(self, image: int | str) -> range:
        """Return the rows of an image, given by its number, name or stem."""
        return self.stores[0].rows(image)

    def map(self, row: int, map_size: str) -> NDArray[np.float16]:
        """Return the selected activations of one map size in a row, (C, h, w).

        Raises
        ------
        InputError, StoreError, ChunkCorruptError
            As `FeatureStore.map`; a `StoreError` also if the stores hold different files of that
            name.
        """
        if map_size not in self.spec.map_sizes:
            raise InputError(
                f"{self.where} have no maps of {map_size}, only {', '.join(self.spec.map_sizes)}"
            )
        maps: dict[int, NDArray[np.float16]] = {}
        parts = []
        for number, channels in self._channel_slots[map_size]:
            if number not in maps:
                maps[number] = self.stores[number].map(self._row(number, row), map_size)
            parts.append(maps[number][channels])
        return np.concatenate(parts)

    def _find_channel_slots(
        self, parts: Sequence[FeatureSpec]
    ) -> dict[str, list[tuple[int, slice]]]:
        """Return, by map size, the store and the channels there of each layer, in feature order."""
        channel_slots: dict[str, list[tuple[int, slice]]] = {
            size: [] for size in self.spec.map_sizes
        }
        order = joined_order(parts)
        for number, at in order:
            stored = self.stores[number].spec
            layer = self._layers[number][at]
            channel_slots[stored.layers[layer].map_size].append(
                (number, stored.channel_slices[layer])
            )
        return channel_slots

    def _joined(self, image: StoredImage) -> StoredImage:
        """Return an image of the first store; complete only if all stores have it complete."""
        for other in self._others:
            match = other.get(image.stem)
            if match is None or not match.complete:
                failed = image.failed or (None if match is None else match.failed)
                return replace(image, complete=False, failed=failed)
        return image

    def _row(self, number: int, row: int) -> int:
        """Return the row of another store that covers the same tile as a row of the first."""
        if number == 0:
            return row
        image = self.stores[0].image_of(row)
        match = self._others[number - 1].get(image.stem)
        if match is None:
            raise StoreError(f"image '{image.name}' is not in {self.stores[number].where}")
        self._check_same(image)
        return match.first_row + row - image.first_row

    def _check_same(self, image: StoredImage) -> None:
        with self._check_lock:
            if image.index in self._checked:
                return
        for store, other in zip(self.stores[1:], self._others, strict=True):
            match = other.get(image.stem)
            if match is not None and match.sha256 != image.sha256:
                raise StoreError(
                    f"image '{image.stem}' is not the same file in {self.stores[0].where} "
                    f"and {store.where}: it changed between the two extractions. Extract "
                    "both again"
                )
        with self._check_lock:
            self._checked.add(image.index)


@lru_cache(maxsize=8)
def _view_once(stores: tuple[FeatureStore, ...], layers: tuple[Layers, ...]) -> FeatureView:
    """Make a view in a process that unpickles it; cached, for every task of a job pickles it."""
    return FeatureView(stores, layers)
