"""A set of layers of some stores: which stores it needs, what it costs, the commands to use it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from ...extract.from_spec import checkpoint_options_of, factory_of
from ...extract.timing import recommended_layers, seconds_per_row
from ...store.errors import DsegError
from ...store.read.joined_spec import joined_order
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import StorePart, join_features, layer_names, store_parts
from ...store.spec import FeatureSpec, LayerSpec
from ...store.urls.location import Location

__all__ = ["LayerSet", "NetworkTimes", "default_names", "split_name"]


def split_name(name: str, stores: int) -> tuple[int, str]:
    """Return the number of the network, from 0, and the layer's name there.

    Examples
    --------
    >>> split_name("2/50:6", stores=2), split_name("50:6", stores=1)
    ((1, '50:6'), (0, '50:6'))
    """
    if stores == 1:
        return 0, name
    number, _, layer = name.partition("/")
    return int(number) - 1, layer


@dataclass(frozen=True)
class LayerSet:
    """Layers of the networks that have them.

    Parameters
    ----------
    stores : tuple of StorePart
        Only those that are needed.
    layers : tuple of tuple of LayerSpec
        Of each, in its order.
    """

    stores: tuple[StorePart, ...]
    layers: tuple[tuple[LayerSpec, ...], ...]

    @classmethod
    def of(cls, stores: Sequence[StorePart], names: Sequence[str]) -> Self:
        """Return the set of some names, as `layer_names` gives them.

        An extra layer is taken from a store that is needed anyhow, if one has it.
        """
        wanted: list[set[str]] = [set() for _ in stores]
        for name in names:
            number, layer = split_name(name, len(stores))
            wanted[number].add(layer)
        networks = [k for k, some in enumerate(wanted) if some - _extras(stores[k])]
        for k in range(len(stores)):
            if wanted[k] and k not in networks:
                for extra in sorted(wanted[k]):
                    other = next((n for n in networks if extra in _extras(stores[n])), k)
                    wanted[k].discard(extra)
                    wanted[other].add(extra)
        needed = [k for k, some in enumerate(wanted) if some]
        layers = [[y for y in stores[k].layers if y.name in wanted[k]] for k in needed]
        return cls(tuple(stores[k] for k in needed), tuple(map(tuple, layers)))

    @property
    def names(self) -> tuple[str, ...]:
        """As ``--layers`` takes them of the stores' files, in feature order."""
        every = store_parts(self._files)
        if len(every) == 1:
            return tuple(layer.name for layer in self.layers[0])
        return tuple(
            f"{every.index(self.stores[n]) + 1}/{self.layers[n][at].name}"
            for n, at in joined_order([spec for _, spec in self.parts])
        )

    @property
    def _files(self) -> list[FeatureStore]:
        """The stores on disk, each once."""
        return list(dict.fromkeys(part.store for part in self.stores))

    @property
    def parts(self) -> list[tuple[StorePart, FeatureSpec]]:
        """Each store with the feature spec of its layers alone."""
        pairs = zip(self.stores, self.layers, strict=True)
        return [(store, replace(store.spec, layers=layers)) for store, layers in pairs]

    @property
    def whole(self) -> bool:
        """Whether these are all layers of the stores."""
        return self.names == layer_names([store.spec for store in self._files])

    @property
    def features(self) -> Features:
        """The features themselves."""
        return join_features(self._files, None if self.whole else self.names)

    @property
    def bytes_per_row(self) -> int:
        """Bytes in float16, before compression."""
        return sum(spec.bytes_per_row for _, spec in self.parts)

    @property
    def steps(self) -> int:
        """Passes of a network, one a timestep; one of a network without noise."""
        return sum(len(_timesteps(spec)) for _, spec in self.parts)

    def fit_command(self, labels: Location, options: Mapping[str, Any]) -> str:
        """Return the command that trains on these layers.

        Parameters
        ----------
        labels : path
        options : mapping
            Further ones, by name; those that are None are left out.
        """
        words = ["dseg", "fit", *(str(store.path) for store in self._files), str(labels)]
        if not self.whole:
            words += ["--layers", ",".join(self.names)]
        for name, value in options.items():
            words += [] if value is None else [name, str(value)]
        return shlex.join(words)

    def extract_commands(self) -> list[str]:
        """Return the commands that make a small store with these layers, one a network.

        They make every block of the set at every step of the set.
        """
        return [
            _extract_command(spec, f"small{number}.zarr" if number > 1 else "small.zarr")
            for number, (_, spec) in enumerate(self.parts, 1)
            if spec.blocks
        ]


def _extras(store: StorePart) -> set[str]:
    return {layer.name for layer in store.layers if layer.is_extra}


def _timesteps(spec: FeatureSpec) -> set[int | None]:
    return {layer.timestep for layer in spec.layers if not layer.is_extra}


def _extract_command(spec: FeatureSpec, out: str) -> str:
    height, width = spec.row_shape
    words = ["dseg", "extract", "--images", "photos/", "--out", out]
    factory = factory_of(spec)
    words += ["--backbone", factory] if factory is not None else []
    words += ["--checkpoint", spec.source] if spec.source != factory else []
    words += ["--size", f"{height}x{width}", "--fit", spec.fit]
    words += ["--overlap", str(spec.overlap)] if spec.fit == "tile" else []
    words += ["--steps", ",".join(map(str, spec.steps))] if spec.steps else []
    words += ["--blocks", ",".join(map(str, sorted(spec.blocks)))] if spec.blocks else []
    words += ["--filters" if spec.filters else "--no-filters"]
    words += ["--pixels" if spec.pixels else "--no-pixels"]
    words += ["--seed", str(spec.noise_seed)] if spec.noise_seed else []
    words += ["--flip"] if spec.backbone.get("flip") else []
    options = {name: spec.backbone.get(name) for name in ("precision", "draws")}
    # the prompt only the spec can say; who types a checkpoint's name may fetch it
    options |= vars(checkpoint_options_of(spec)) | {"prompt": None, "fetch": None}
    for name, value in options.items():
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def default_names(store: StorePart) -> tuple[str, ...] | None:
    """Return the layers that a store's checkpoint recommends.

    None if the checkpoint is not available, or the store lacks one of them.
    """
    try:
        wanted = {layer.name for layer in recommended_layers(store.spec)}
    except (DsegError, OSError):
        return None
    names = [layer.name for layer in store.layers if layer.name in wanted]
    return tuple(names) if len(names) == len(wanted) else None


class NetworkTimes:
    """Measured times of the networks, each pass once.

    A pass does all steps that a set has, up to the last block that it has at any.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[tuple[str, frozenset[int | None], int], float] = {}

    def seconds(self, chosen: LayerSet) -> float:
        """Return the seconds of a row of an image, 0 where no network is needed.

        Raises
        ------
        DsegError
            If a checkpoint is not where it was, or is another one.
        """
        total = 0.0
        for store, spec in chosen.parts:
            steps = _timesteps(spec)
            if not steps:
                continue
            key = (store.spec.hash, frozenset(steps), max(spec.blocks))
            if key not in self._known:
                self._known[key] = seconds_per_row(_grid(store.spec, spec), self._device)
            total += self._known[key]
        return total


def _grid(stored: FeatureSpec, spec: FeatureSpec) -> FeatureSpec:
    """Return a store's spec with every block and step that some layers have, combined."""
    steps, blocks = _timesteps(spec), set(spec.blocks)
    kept = [
        layer
        for layer in stored.layers
        if layer in spec.layers or (layer.timestep in steps and layer.block in blocks)
    ]
    return replace(stored, layers=tuple(kept))
