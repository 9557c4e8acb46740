"""Views: some layers of a store, or the concatenated features of several, read like one store.

Nothing is copied on disk: a view reads the chunks of its stores and returns the selected channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SpecMismatchError, StoreError
from ..spec import FeatureSpec, LayerSpec
from .image_tables import StoredImage
from .joined_spec import joined_order, joined_spec, parts_of
from .protocol import Features
from .reader import FeatureStore

__all__ = [
    "FeatureView",
    "StorePart",
    "features_for_spec",
    "join_features",
    "layer_names",
    "select_layers",
    "store_parts",
]

Layers = tuple[int, ...]


@dataclass(frozen=True)
class StorePart:
    """The features of one network in a store.

    Parameters
    ----------
    store : FeatureStore
    index : int
        Among the parts of the store's spec; 0 in a store of one network.
    """

    store: FeatureStore
    index: int = 0

    @property
    def spec(self) -> FeatureSpec:
        """Of this network."""
        return parts_of([self.store.spec])[self.index]

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """Of this network."""
        return self.spec.layers

    @property
    def name(self) -> str:
        """The store's path, and of several networks which."""
        path = str(self.store.path)
        return f"{path} part {self.index + 1}" if self.store.spec.parts else path

    @property
    def numbers(self) -> dict[int, int]:
        """The number that each of its layers has in the store."""
        if not self.store.spec.parts:
            return {number: number for number in range(len(self.spec.layers))}
        order = joined_order(self.store.spec.parts)
        return {at: number for number, (n, at) in enumerate(order) if n == self.index}


def store_parts(stores: Sequence[FeatureStore]) -> list[StorePart]:
    """Return the features of each network in some stores."""
    return [StorePart(store, n) for store in stores for n in range(len(store.spec.parts) or 1)]


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
    parts = store_parts(stores)
    _check_distinct_specs(parts)
    layers = select_layers([part.spec for part in parts], names)
    used = [(part, numbers) for part, numbers in zip(parts, layers, strict=True) if numbers]
    unused = [store.where for store in stores if not any(part.store is store for part, _ in used)]
    if unused:
        raise InputError(f"no layer of {unused[0]} is chosen: leave that store out")
    return FeatureView(tuple(part for part, _ in used), tuple(numbers for _, numbers in used))


def features_for_spec(stores: Sequence[FeatureStore], spec: FeatureSpec) -> Features:
    """Return the features that a spec describes; the stores may hold more layers than it names.

    Parameters
    ----------
    stores : sequence of FeatureStore
        With the networks that the spec joins, in any order.
    spec : FeatureSpec

    Raises
    ------
    SpecMismatchError
        If the stores hold other features; names the differences.
    """
    if len(stores) == 1 and stores[0].spec.hash == spec.hash:
        return stores[0]
    wanted, parts = parts_of([spec]), store_parts(stores)
    if len(stores) > len(wanted) or len(parts) < len(wanted):
        networks = ", ".join(f"'{part.source}'" for part in wanted)
        raise SpecMismatchError(
            f"the model was fitted on the features of {_counted(len(wanted))} ({networks}), but "
            f"got those of {_counted(len(parts))}: {_quoted(stores)}. Give stores with the "
            "features of exactly these networks"
        )
    matched = _match_parts(parts, wanted)
    if matched is None:
        raise SpecMismatchError(_mismatch(parts, wanted))
    unused = [store.where for store in stores if not any(m.store is store for m in matched)]
    if unused:
        raise SpecMismatchError(f"the model needs no features of {unused[0]}: leave it out")
    layers = tuple(_layer_numbers(m, part) for m, part in zip(matched, wanted, strict=True))
    return FeatureView(matched, layers)


def _match_parts(
    parts: Sequence[StorePart], wanted: Sequence[FeatureSpec]
) -> tuple[StorePart, ...] | None:
    """Assign different features to each spec, or return None.

    A search with backtracking, for features with many layers may match several of the specs.
    """
    if not wanted:
        return ()
    for part in parts:
        if _has_layers(part, wanted[0]):
            rest = _match_parts([other for other in parts if other is not part], wanted[1:])
            if rest is not None:
                return (part, *rest)
    return None


def _mismatch(parts: Sequence[StorePart], wanted: Sequence[FeatureSpec]) -> str:
    """Say which spec matches no store and, if one store is left over, how that one differs."""
    missing = [spec for spec in wanted if not any(_has_layers(part, spec) for part in parts)]
    unmatched = [part for part in parts if not any(_has_layers(part, spec) for spec in wanted)]
    what = _quoted(list(dict.fromkeys(part.store for part in unmatched or parts)))
    words = f"the model was fitted on other features than {what} " + (
        "holds" if len(unmatched) == 1 else "hold"
    )
    if len(missing) == len(unmatched) == 1:
        names = ("the store", "the model")
        words += ": " + "; ".join(unmatched[0].spec.differences(missing[0], names))
    elif missing:
        words += ": none of them was extracted with " + ", ".join(
            f"'{part.source}'" for part in missing
        )
    return f"{words}. Fit a model on these features, or give stores with the model's feature spec"


def _check_distinct_specs(parts: Sequence[StorePart]) -> None:
    """Refuse two stores of one spec: the same features twice, which no name could tell apart."""
    by_hash: dict[str, StorePart] = {}
    for part in parts:
        match = by_hash.setdefault(part.spec.hash, part)
        if match is not part:
            raise InputError(
                f"{match.store.where} and {part.store.where} contain features of the same "
                "feature spec: give only one of them"
            )


def _counted(n: int) -> str:
    return "one network" if n == 1 else f"{n} networks"


def _quoted(stores: Sequence[FeatureStore]) -> str:
    return " and ".join(store.where for store in stores)


def _layer_numbers(part: StorePart, spec: FeatureSpec) -> Layers:
    """Return the numbers, in a part, of those layers of a spec that it has."""
    number = {layer: at for at, layer in enumerate(part.spec.layers)}
    return tuple(number[layer] for layer in spec.layers if layer in number)


def _has_layers(part: StorePart, spec: FeatureSpec) -> bool:
    """Whether a part has the layers of a spec, made in the same way."""
    # The hash covers backbone, noise and preprocessing besides the layers.
    layers = tuple(part.spec.layers[at] for at in _layer_numbers(part, spec))
    return replace(part.spec, layers=layers).hash == spec.hash


def select_layers(specs: Sequence[FeatureSpec], names: Sequence[str] | None) -> tuple[Layers, ...]:
    """Return, for each network, the numbers of the named layers, in feature order.

    Parameters
    ----------
    specs : sequence of FeatureSpec
    names : sequence of str or None
        Each a `LayerSpec.name`: "<timestep>:<block>", without noise "<block>", "filters" or
        "pixels"; of several networks, in one store or in several, with the network's number, from
        1, before it: "2/11". None: all.

    Raises
    ------
    InputError
        If there is no layer of that name, or one is named twice.
    """
    specs = parts_of(specs)
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
        Of the stores; of several networks, each extra layer is listed once.
    """
    specs = parts_of(specs)
    if len(specs) == 1:
        return tuple(layer.name for layer in specs[0].layers)
    return tuple(f"{n + 1}/{specs[n].layers[at].name}" for n, at in joined_order(specs))


class FeatureView:
    """Selected layers of stores of the same images, see `Features`.

    Images and rows are numbered as in the first store; an image is complete if all stores have it
    complete.

    Parameters
    ----------
    parts : tuple of StorePart
    layers : tuple of tuple of int
        For each part, the numbers of its layers, ascending.
    """

    def __init__(self, parts: tuple[StorePart, ...], layers: tuple[Layers, ...]) -> None:
        self._parts, self._layers = parts, layers
        self.stores = stores = tuple(dict.fromkeys(part.store for part in parts))
        specs = [
            replace(part.spec, layers=tuple(part.spec.layers[at] for at in numbers))
            for part, numbers in zip(parts, layers, strict=True)
        ]
        self.spec = specs[0] if len(specs) == 1 else joined_spec(specs)
        self._channel_slots = self._find_channel_slots(specs)
        self._others = [{image.stem: image for image in store.images} for store in stores[1:]]
        if not all(any(i.stem in other for i in stores[0].images) for other in self._others):
            raise InputError(
                f"{self.where} have no image in common: stores are joined by image name"
            )
        self.images = tuple(self._joined(image) for image in stores[0].images)
        self._checked: set[int] = set()
        self._check_lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _view_once, (self._parts, self._layers)

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
        self, specs: Sequence[FeatureSpec]
    ) -> dict[str, list[tuple[int, slice]]]:
        """Return, by map size, each layer's store (its index) and channels, in feature order."""
        channel_slots: dict[str, list[tuple[int, slice]]] = {
            size: [] for size in self.spec.map_sizes
        }
        for number, at in joined_order(specs):
            part = self._parts[number]
            stored = part.store.spec
            layer = part.numbers[self._layers[number][at]]
            channel_slots[stored.layers[layer].map_size].append(
                (self.stores.index(part.store), stored.channel_slices[layer])
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
def _view_once(parts: tuple[StorePart, ...], layers: tuple[Layers, ...]) -> FeatureView:
    """Make a view in a process that unpickles it; cached, for every task of a job pickles it."""
    return FeatureView(parts, layers)
