"""The feature spec of several stores whose channels are concatenated."""

from collections.abc import Sequence
from typing import Protocol

from ..errors import InputError
from ..spec import FeatureSpec, LayerSpec

__all__ = ["joined_order", "joined_spec", "parts_of"]


def joined_spec(parts: Sequence[FeatureSpec]) -> FeatureSpec:
    """Return the feature spec of several stores whose channels are concatenated.

    First the activations of each store in turn, then the extra layers, each once, from the first
    store that has it. Pixels lie on the row grid of the first store. With ``fit="squash"`` a row is
    a whole image, so the stores may have rows of different shapes: a position in the image is the
    same position in each of their maps.

    Raises
    ------
    InputError
        If the stores cut images into rows in different ways or, unless squashed, of other shapes.
    """
    first = parts[0]
    for other in parts[1:]:
        squashed = first.fit == other.fit == "squash"
        tiles = [(part.fit, part.overlap, part.row_shape) for part in (first, other)]
        if not squashed and tiles[0] != tiles[1]:
            raise InputError(
                "features can be joined only if all images are squashed, or if all are cut into "
                f"the same tiles: got {_tiles(first)}, and {_tiles(other)}. Extract both with the "
                "same --fit, --size and --overlap, or with --fit squash"
            )
    return FeatureSpec(
        backbone={"kind": "joined"},
        source=" + ".join(part.source for part in parts),
        row_shape=first.row_shape,
        fit=first.fit,
        overlap=first.overlap,
        noise_seed=first.noise_seed,
        layers=tuple(parts[number].layers[at] for number, at in joined_order(parts)),
        parts=tuple(parts),
    )


def _tiles(spec: FeatureSpec) -> str:
    height, width = spec.row_shape
    overlap = f" and --overlap {spec.overlap}" if spec.fit == "tile" else ""
    return f"--fit {spec.fit} with tiles of {height}x{width}{overlap}"


def parts_of(specs: Sequence[FeatureSpec]) -> list[FeatureSpec]:
    """Return the spec of each network: of a store with features of several, all of them."""
    return [part for spec in specs for part in (spec.parts or (spec,))]


class HasLayers(Protocol):
    """A feature spec, or a backbone."""

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """In feature order."""


def joined_order(parts: Sequence[HasLayers]) -> list[tuple[int, int]]:
    """Return, for each layer of `joined_spec`, the index of its part and its number in it."""
    every = [(n, at, layer) for n, part in enumerate(parts) for at, layer in enumerate(part.layers)]
    extras: dict[bool, tuple[int, int]] = {}  # filters, then colour and position
    for number, at, layer in every:
        if layer.is_extra:
            extras.setdefault(layer.is_pixels, (number, at))
    return [(n, at) for n, at, layer in every if not layer.is_extra] + [
        extras[is_pixels] for is_pixels in sorted(extras)
    ]
