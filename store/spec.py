"""What a feature store holds: the layers, the backbone, and how images are prepared.

A `FeatureSpec` describes how a feature vector is computed. Two stores, or a store and a model, are
compatible if and only if their specs have the same `FeatureSpec.hash`.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any, Literal, Self, get_args

from .errors import InputError

__all__ = [
    "FORMAT",
    "NONE",
    "VERSION",
    "FeatureSpec",
    "Fit",
    "Kind",
    "LayerSpec",
    "hash_of",
    "layer_columns",
]

FORMAT = "dseg-features"
VERSION = 1

Fit = Literal["squash", "pad", "tile"]

Kind = Literal["diffusion", "network", "filters", "pixels"]
"""What a layer is: a block of a diffusion model at a timestep, a block of a network that takes no
noise, classical filters, or colour and position."""

_EXTRAS: dict[Kind, str] = {"filters": "filters", "pixels": "colour and position"}
"""Kinds of layers that are no activations, in feature order, in words."""

NONE = -1
"""In tables of layers: no timestep, or no block."""

_OLD_EXTRAS: dict[int, Kind] = {-2: "filters", -1: "pixels"}
"""Until dseg 0.2 these numbers stood for timestep and block of such a layer, and -1 for the
timestep of a network without noise."""


@dataclass(frozen=True)
class LayerSpec:
    """One layer: a block at a timestep, and the shape of its activation.

    Parameters
    ----------
    timestep : int or None
        The noise step t of the diffusion process; None if the network takes no noise, and of what
        is no activation.
    block : int or None
        Number of the block, from 0: of a U-Net's decoder, else of the network; None of what is no
        activation.
    channels, height, width : int
        Shape of the activation at native resolution.
    kind : Kind
    """

    timestep: int | None
    block: int | None
    channels: int
    height: int
    width: int
    kind: Kind = "diffusion"

    @classmethod
    def clean(cls, block: int, channels: int, height: int, width: int) -> Self:
        """Return a layer of a network that takes no noise."""
        return cls(None, block, channels, height, width, "network")

    @classmethod
    def extra(cls, kind: Kind, channels: int, height: int, width: int) -> Self:
        """Return a layer of filters, or of colour and position."""
        return cls(None, None, channels, height, width, kind)

    @property
    def map_size(self) -> str:
        """The key of the array that holds this layer, ``"<height>x<width>"``."""
        return f"{self.height}x{self.width}"

    @property
    def is_extra(self) -> bool:
        """Whether it holds filters, or colour and position, not an activation."""
        return self.kind in _EXTRAS

    @property
    def is_filters(self) -> bool:
        """Whether it holds classical filters."""
        return self.kind == "filters"

    @property
    def is_pixels(self) -> bool:
        """Whether it holds colour and position."""
        return self.kind == "pixels"

    @property
    def name(self) -> str:
        """Its name in options: "<timestep>:<block>", "<block>" (no noise), "filters", "pixels"."""
        if self.is_extra:
            return self.kind
        return str(self.block) if self.timestep is None else f"{self.timestep}:{self.block}"

    def __str__(self) -> str:
        if self.is_extra:
            return _EXTRAS[self.kind]
        return f"block {self.block}" + (
            "" if self.timestep is None else f" at step {self.timestep}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without a timestep or a block where there is none."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a layer from `to_dict`'s values, or from those of a store of dseg 0.1."""
        fields: dict[str, Any] = {"timestep": None, "block": None, **plain}
        if "kind" not in plain:
            timestep, block = fields["timestep"], fields["block"]
            if timestep == block and block in _OLD_EXTRAS:
                fields.update(kind=_OLD_EXTRAS[block], timestep=None, block=None)
            elif timestep == -1:
                fields.update(kind="network", timestep=None)
            else:
                fields["kind"] = "diffusion"
        layer = cls(**fields)
        present = layer.timestep is not None, layer.block is not None
        if present != (layer.kind == "diffusion", not layer.is_extra) or (
            layer.kind not in get_args(Kind)
        ):
            raise ValueError(f"no layer: {dict(plain)}")
        return layer


@dataclass(frozen=True)
class FeatureSpec:
    """How a feature vector is computed.

    Parameters
    ----------
    backbone : mapping
        ``kind``, ``sha256`` of the checkpoint, ``architecture`` and every other setting of the
        network that changes its activations; plain JSON values.
    source : str
        Where the checkpoint came from. Not part of the hash: a moved file is the same file.
    row_shape : tuple of int
        Height and width of a tile, the network's input, see `geometry`.
    fit : {"squash", "pad", "tile"}
        How an image is brought to that shape.
    overlap : int
        Pixels by which neighbouring tiles overlap; 0 unless ``fit`` is "tile".
    noise_seed : int
        Seed of the noise image that all tiles and timesteps share.
    layers : tuple of LayerSpec
        In feature order: timesteps as given, in each the blocks ascending; then the extra layers.
    preprocessing : mapping
        How pixel values become network input; plain JSON values.
    parts : tuple of FeatureSpec
        If the features of several networks are joined: the spec of each. Else empty.
    """

    backbone: Mapping[str, Any]
    source: str
    row_shape: tuple[int, int]
    fit: Fit
    overlap: int
    noise_seed: int
    layers: tuple[LayerSpec, ...]
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple["FeatureSpec", ...] = ()

    @property
    def dims(self) -> int:
        """D, the length of a feature vector."""
        return sum(layer.channels for layer in self.layers)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each layer starts in the feature vector; one more entry, D, at the end."""
        return tuple(accumulate((layer.channels for layer in self.layers), initial=0))

    @property
    def map_sizes(self) -> tuple[str, ...]:
        """The distinct map sizes, smallest map first."""
        sizes = {
            (layer.height * layer.width, layer.height, layer.map_size) for layer in self.layers
        }
        return tuple(key for _, _, key in sorted(sizes))

    def layers_of(self, map_size: str) -> tuple[int, ...]:
        """Return the numbers of the layers of one map size, in feature order.

        Their channels stand side by side, in this order, in the array ``features/<map_size>``.
        """
        return tuple(i for i, layer in enumerate(self.layers) if layer.map_size == map_size)

    def map_shape(self, map_size: str) -> tuple[int, int, int]:
        """Return channels, height and width of a row's maps of one size, of all its layers."""
        layers = [self.layers[number] for number in self.layers_of(map_size)]
        return sum(layer.channels for layer in layers), layers[0].height, layers[0].width

    def map_bytes(self, map_size: str) -> int:
        """Return the bytes of a row's maps of one size in float16, before compression."""
        return 2 * math.prod(self.map_shape(map_size))

    @property
    def channel_slices(self) -> tuple[slice, ...]:
        """Which channels of the array of its map size each layer has, in feature order."""
        ends = dict.fromkeys(self.map_sizes, 0)
        found = []
        for layer in self.layers:
            start = ends[layer.map_size]
            ends[layer.map_size] = start + layer.channels
            found.append(slice(start, start + layer.channels))
        return tuple(found)

    def columns_of(self, map_size: str) -> list[tuple[slice, slice]]:
        """Return where each layer of one map size lies: in the feature vector, and in its array.

        The array is ``features/<map_size>``; the second slice is along its channels.
        """
        offsets, channels = self.offsets, self.channel_slices
        return [
            (slice(offsets[number], offsets[number + 1]), channels[number])
            for number in self.layers_of(map_size)
        ]

    @property
    def steps(self) -> tuple[int, ...]:
        """The timesteps, in feature order, each once; none of networks that take no noise."""
        timesteps = (layer.timestep for layer in self.layers)
        return tuple(dict.fromkeys(step for step in timesteps if step is not None))

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks, in feature order, each once."""
        blocks = (layer.block for layer in self.layers)
        return tuple(dict.fromkeys(block for block in blocks if block is not None))

    @property
    def extras(self) -> tuple[str, ...]:
        """The names of the layers that are no activations."""
        return tuple(str(layer) for layer in self.layers if layer.is_extra)

    @property
    def filters(self) -> bool:
        """Whether classical filters are among the layers."""
        return any(layer.is_filters for layer in self.layers)

    @property
    def pixels(self) -> bool:
        """Whether colour and position are among the layers."""
        return any(layer.is_pixels for layer in self.layers)

    @property
    def bytes_per_row(self) -> int:
        """Bytes of one row in float16, before compression."""
        return sum(map(self.map_bytes, self.map_sizes))

    @property
    def hash(self) -> str:
        """sha256 of everything that changes the features, so not of ``source``."""
        return hash_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` is the inverse."""
        plain = asdict(self)
        plain["row_shape"] = list(self.row_shape)
        plain["layers"] = [layer.to_dict() for layer in self.layers]
        del plain["parts"]
        if self.parts:  # an empty list would change the hash of every store written before
            plain["parts"] = [part.to_dict() for part in self.parts]
        return dict(json.loads(json.dumps(plain)))  # tuples become lists, as when read from disk

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a spec from `to_dict`'s values.

        Raises
        ------
        InputError
            If a field is missing or of the wrong form.
        """
        try:
            fields = dict(plain)
            fields["layers"] = tuple(LayerSpec.from_dict(layer) for layer in plain["layers"])
            height, width = plain["row_shape"]
            fields["row_shape"] = (int(height), int(width))
            fields["parts"] = tuple(cls.from_dict(part) for part in plain.get("parts", ()))
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"not a feature spec of format version {VERSION}: {error!r}. "
                "Was it written by a newer dseg, or edited?"
            ) from error

    def differences(self, other: "FeatureSpec", names: tuple[str, str]) -> list[str]:
        """Return in words how another spec differs; empty if the hashes agree.

        Parameters
        ----------
        other : FeatureSpec
        names : tuple of two str
            What the messages call this spec and the other, such as "the store" and "the model".
        """

        def differ(what: str, own: Any, others: Any) -> str:
            return f"{what}: {_short(own)} in {names[0]}, {_short(others)} in {names[1]}"

        ours, theirs = self.to_dict(), other.to_dict()
        words = [
            differ(key, ours[key], theirs[key])
            for key in ("row_shape", "fit", "overlap", "noise_seed")
            if ours[key] != theirs[key]
        ]
        for key, *values in _different(ours["preprocessing"], theirs["preprocessing"]):
            words.append(differ(f"preprocessing {key}", *values))
        networks = [ours["backbone"], theirs["backbone"]]
        if networks[0].get("kind") != networks[1].get("kind"):  # then all the rest differs too
            networks = [{k: n[k] for k in ("kind", "sha256") if k in n} for n in networks]
        for key, *values in _different(*networks):
            words.append(
                differ("checkpoint sha256" if key == "sha256" else f"backbone {key}", *values)
            )
        for key in ("steps", "blocks"):
            own, others = list(getattr(self, key)), list(getattr(other, key))
            if own != others:
                words.append(f"{key}: {own} in {names[0]}, {others} in {names[1]}")
        if len(self.parts) != len(other.parts):
            counts = (len(spec.parts) or 1 for spec in (self, other))
            words.append(differ("number of networks", *counts))
        for number, (part, its) in enumerate(zip(self.parts, other.parts, strict=False), 1):
            words += [f"network {number}: {word}" for word in part.differences(its, names)]
        for kind, name in _EXTRAS.items():
            if (name in self.extras) != (name in other.extras):
                has = names[0] if name in self.extras else names[1]
                words.append(f"{name} are among the layers of {has} only (--{kind})")
        if not words and ours["layers"] != theirs["layers"]:
            words.append("the shapes of the layers")
        return words


def hash_of(plain: Mapping[str, Any]) -> str:
    """Return the sha256 of a spec as plain JSON values, but for ``source``."""

    def without_source(spec: Mapping[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in spec.items() if key != "source"}
        if "parts" in rest:
            rest["parts"] = [without_source(part) for part in rest["parts"]]
        return rest

    text = json.dumps(without_source(plain), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def layer_columns(spec: FeatureSpec) -> dict[str, list[int] | list[str]]:
    """Return the tables of layers of a store, by name: one value for each layer."""
    return {
        "layers/timestep": [NONE if n.timestep is None else n.timestep for n in spec.layers],
        "layers/block": [NONE if n.block is None else n.block for n in spec.layers],
        "layers/array": [layer.map_size for layer in spec.layers],
        "layers/channels": [layer.channels for layer in spec.layers],
        "layers/first_channel": [channels.start for channels in spec.channel_slices],
        "layers/first_feature": list(spec.offsets[:-1]),
    }


def _different(
    ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield key and both values where two mappings differ; nested mappings are compared, too."""
    for key in sorted({*ours, *theirs}):
        own, other = ours.get(key), theirs.get(key)
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            yield from _different(own, other)
        elif own != other:
            yield key, own, other


def _short(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
