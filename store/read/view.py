"""Some layers of a store, or the features of several stores side by side, read like a store.

Nothing is copied: a view reads the chunks of its stores and gives the wanted channels of each.
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

__all__ = ["FeatureView", "chosen_layers", "layer_names", "view_for", "view_of"]

Layers = tuple[int, ...]


def view_of(stores: Sequence[FeatureStore], names: Sequence[str] | None = None) -> Features:
    """Return features of some stores: all layers, or those named.

    Parameters
    ----------
    stores : sequence of FeatureStore
        Of the same images, which are checked by their sha256 as they are read.
    names : sequence of str, optional
        Layers as `chosen_layers` takes them.

    Raises
    ------
    InputError
        If the stores do not belong together, two are of one recipe, or they lack a layer.
    """
    if len(stores) == 1 and names is None:
        return stores[0]
    specs = [store.spec for store in stores]
    _refuse_twins(stores)
    layers = chosen_layers(specs, names)
    unused = [f"'{s.path}'" for s, some in zip(stores, layers, strict=True) if not some]
    if unused:
        raise InputError(f"no layer of {unused[0]} is chosen: leave that store out")
    return FeatureView(tuple(stores), layers)


def view_for(stores: Sequence[FeatureStore], spec: FeatureSpec) -> Features:
    """Return the features of a recipe, if some stores have them: fewer layers than theirs, perhaps.

    Parameters
    ----------
    stores : sequence of FeatureStore
        As many as the recipe joins, in any order.
    spec : FeatureSpec

    Raises
    ------
    SpecMismatchError
        If they have other features.
    """
    parts = list(spec.parts) or [spec]
    if len(stores) != len(parts):
        networks = ", ".join(f"'{part.source}'" for part in parts)
        raise SpecMismatchError(
            f"the model was fitted on the features of {_counted(len(parts))} (extracted with "
            f"{networks}), but got {_counted(len(stores))}: {_quoted(stores)}. Give "
            "the same number of stores, one for each network"
        )
    ordered = _matched(stores, parts)
    if ordered is None:
        raise SpecMismatchError(_mismatch(stores, parts))
    if not spec.parts and ordered[0].spec.hash == spec.hash:
        return ordered[0]
    layers = tuple(_places(s, part) for s, part in zip(ordered, parts, strict=True))
    return FeatureView(ordered, layers)


def _matched(
    stores: Sequence[FeatureStore], parts: Sequence[FeatureSpec]
) -> tuple[FeatureStore, ...] | None:
    """Return a store of its own for each recipe, if there are such: some may have several."""
    if not parts:
        return ()
    for store in stores:
        if _has(store, parts[0]):
            rest = _matched([other for other in stores if other is not store], parts[1:])
            if rest is not None:
                return (store, *rest)
    return None


def _mismatch(stores: Sequence[FeatureStore], parts: Sequence[FeatureSpec]) -> str:
    """Say which recipe none of the stores has; and how it differs, where one is left for it."""
    lacking = [part for part in parts if not any(_has(store, part) for store in stores)]
    spare = [store for store in stores if not any(_has(store, part) for part in parts)]
    what = _quoted(spare or stores)
    words = f"the model was fitted on other features than {what} " + (
        "holds" if len(spare) == 1 else "hold"
    )
    if len(lacking) == len(spare) == 1:
        words += ": " + "; ".join(spare[0].spec.differences(lacking[0]))
        words += " ('here' is the store, 'there' the model)"
    elif lacking:
        words += ": none of them was extracted with " + ", ".join(
            f"'{part.source}'" for part in lacking
        )
    return f"{words}. Fit a model on these features, or give stores with the model's feature spec"


def _refuse_twins(stores: Sequence[FeatureStore]) -> None:
    """Refuse features that would only stand beside themselves, and could not be told apart."""
    seen: dict[str, FeatureStore] = {}
    for store in stores:
        twin = seen.setdefault(store.spec.hash, store)
        if twin is not store:
            raise InputError(
                f"{twin.where} and {store.where} contain features of the same feature spec: "
                "give only one of them"
            )


def _counted(n: int) -> str:
    return "one store" if n == 1 else f"{n} stores"


def _quoted(stores: Sequence[FeatureStore]) -> str:
    return " and ".join(store.where for store in stores)


def _places(store: FeatureStore, part: FeatureSpec) -> Layers:
    """Return the numbers of a recipe's layers in a store; none for those it lacks."""
    number = {layer: at for at, layer in enumerate(store.spec.layers)}
    return tuple(number[layer] for layer in part.layers if layer in number)


def _has(store: FeatureStore, part: FeatureSpec) -> bool:
    """Whether a store has the layers of a recipe, made in the same way."""
    layers = tuple(store.spec.layers[at] for at in _places(store, part))
    return replace(store.spec, layers=layers).hash == part.hash


def chosen_layers(specs: Sequence[FeatureSpec], names: Sequence[str] | None) -> tuple[Layers, ...]:
    """Return the numbers of the layers that are named, for each store, in feature order.

    Parameters
    ----------
    specs : sequence of FeatureSpec
    names : sequence of str or None
        Each a `LayerSpec.name`: "<timestep>:<block>", without noise "<block>", "filters" or
        "pixels"; of several stores with the store's number, from 1, before it: "2/11". None: all.

    Raises
    ------
    InputError
        If a store lacks one, or one is named twice.
    """
    if names is None:
        return tuple(tuple(range(len(spec.layers))) for spec in specs)
    prefixes = [""] if len(specs) == 1 else [f"{n}/" for n in range(1, len(specs) + 1)]
    place = {
        prefix + layer.name: (number, at)
        for number, (prefix, spec) in enumerate(zip(prefixes, specs, strict=True))
        for at, layer in enumerate(spec.layers)
    }
    unknown = [name for name in names if name not in place]
    if unknown or not names:
        what = f"there is no layer '{unknown[0]}'" if unknown else "no layer is given"
        raise InputError(f"{what}: available are {', '.join(place)}")
    doubles = [name for name in names if list(names).count(name) > 1]
    if doubles:
        raise InputError(f"layer '{doubles[0]}' is given more than once")
    wanted = sorted(place[name] for name in names)
    return tuple(tuple(at for n, at in wanted if n == number) for number in range(len(specs)))


def layer_names(specs: Sequence[FeatureSpec]) -> tuple[str, ...]:
    """Return the names, as `chosen_layers` takes them, of the layers that `view_of` joins.

    Parameters
    ----------
    specs : sequence of FeatureSpec
        Of the stores; from several, each extra layer comes once.
    """
    if len(specs) == 1:
        return tuple(layer.name for layer in specs[0].layers)
    return tuple(f"{n + 1}/{specs[n].layers[at].name}" for n, at in joined_order(specs))


class FeatureView:
    """Chosen layers of stores of the same images, see `Features`.

    Images and rows are numbered as in the first store; an image is complete if it is in all.

    Parameters
    ----------
    stores : tuple of FeatureStore
    layers : tuple of tuple of int
        Of each store, the numbers of the layers, ascending.
    """

    def __init__(self, stores: tuple[FeatureStore, ...], layers: tuple[Layers, ...]) -> None:
        self.stores, self._layers = stores, layers
        parts = [
            replace(store.spec, layers=tuple(store.spec.layers[at] for at in some))
            for store, some in zip(stores, layers, strict=True)
        ]
        self.spec = parts[0] if len(parts) == 1 else joined_spec(parts)
        self._slots = self._find_slots(parts)
        self._others = [{image.stem: image for image in store.images} for store in stores[1:]]
        if not all(any(i.stem in other for i in stores[0].images) for other in self._others):
            raise InputError(
                f"{self.where} have no image in common: stores are joined by image name"
            )
        self.images = tuple(self._joined(image) for image in stores[0].images)
        self._checked: set[int] = set()
        self._checking = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _viewed, (self.stores, self._layers)

    @property
    def where(self) -> str:
        """The stores, in quotes."""
        return _quoted(self.stores)

    @property
    def chunk_bytes(self) -> int:
        """The most bytes that `map` reads at a time: whole maps of its stores, see `Features`."""
        return max(
            sum(self.stores[n].spec.map_bytes(size) for n in {number for number, _ in slots})
            for size, slots in self._slots.items()
        )

    def rows(self, image: int | str) -> range:
        """Return the rows of an image, given by its number, name or stem."""
        return self.stores[0].rows(image)

    def map(self, row: int, map_size: str) -> NDArray[np.float16]:
        """Return all wanted activations of one map size in a row, (C, h, w); see `FeatureStore`.

        Raises
        ------
        InputError, StoreError, ChunkCorruptError
            As the stores do; a `StoreError` also if they have different images of that name.
        """
        if map_size not in self.spec.map_sizes:
            raise InputError(
                f"{self.where} have no maps of {map_size}, only {', '.join(self.spec.map_sizes)}"
            )
        maps: dict[int, NDArray[np.float16]] = {}
        found = []
        for number, channels in self._slots[map_size]:
            if number not in maps:
                maps[number] = self.stores[number].map(self._row(number, row), map_size)
            found.append(maps[number][channels])
        return np.concatenate(found)

    def _find_slots(self, parts: Sequence[FeatureSpec]) -> dict[str, list[tuple[int, slice]]]:
        """Return, for each map size, store and channels of its layers there, in feature order."""
        slots: dict[str, list[tuple[int, slice]]] = {size: [] for size in self.spec.map_sizes}
        order = joined_order(parts)
        for number, at in order:
            stored = self.stores[number].spec
            layer = self._layers[number][at]
            slots[stored.layers[layer].map_size].append((number, stored.channel_slices[layer]))
        return slots

    def _joined(self, image: StoredImage) -> StoredImage:
        """Return an image as all stores have it."""
        for other in self._others:
            twin = other.get(image.stem)
            if twin is None or not twin.complete:
                failed = image.failed or (None if twin is None else twin.failed)
                return replace(image, complete=False, failed=failed)
        return image

    def _row(self, number: int, row: int) -> int:
        """Return the row of another store that shows what this row of the first does."""
        if number == 0:
            return row
        image = self.stores[0].image_of(row)
        twin = self._others[number - 1].get(image.stem)
        if twin is None:
            raise StoreError(f"image '{image.name}' is not in {self.stores[number].where}")
        self._check_same(image)
        return twin.first_row + row - image.first_row

    def _check_same(self, image: StoredImage) -> None:
        with self._checking:
            if image.index in self._checked:
                return
        for store, other in zip(self.stores[1:], self._others, strict=True):
            twin = other.get(image.stem)
            if twin is not None and twin.sha256 != image.sha256:
                raise StoreError(
                    f"image '{image.stem}' is not the same file in {self.stores[0].where} "
                    f"and {store.where}: it changed between the two extractions. Extract "
                    "both again"
                )
        with self._checking:
            self._checked.add(image.index)


@lru_cache(maxsize=8)
def _viewed(stores: tuple[FeatureStore, ...], layers: tuple[Layers, ...]) -> FeatureView:
    """Make a view that came from another process: once, for many tasks name it."""
    return FeatureView(stores, layers)
