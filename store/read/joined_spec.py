"""The recipe of several stores' features side by side."""

from collections.abc import Sequence

from ..errors import InputError
from ..spec import FeatureSpec

__all__ = ["joined_order", "joined_spec"]


def joined_spec(parts: Sequence[FeatureSpec]) -> FeatureSpec:
    """Return the recipe of several stores' features side by side.

    The activations of one after the other, then the extra layers: each once, from the first that
    has it. Pixels lie on the first one's row grid. Where rows are whole images, squashed, each may
    have rows of its own shape, for its maps cover the image all the same.

    Raises
    ------
    InputError
        If images came to rows in different ways, or to rows that do not cover each other.
    """
    first = parts[0]
    for other in parts[1:]:
        squashed = first.fit == other.fit == "squash"
        rows = [(part.fit, part.overlap, part.row_shape) for part in (first, other)]
        if not squashed and rows[0] != rows[1]:
            raise InputError(
                "features can be joined only if all images are squashed, or if all have the "
                f"same tiles: here one store has --fit {first.fit} and passes of "
                f"{first.row_shape[0]}x{first.row_shape[1]}, another --fit {other.fit} and "
                f"{other.row_shape[0]}x{other.row_shape[1]}"
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


def joined_order(parts: Sequence[FeatureSpec]) -> list[tuple[int, int]]:
    """Return part and number of each layer of the joined features, see `joined_spec`."""
    every = [(n, at, layer) for n, part in enumerate(parts) for at, layer in enumerate(part.layers)]
    extras: dict[int, tuple[int, int]] = {}
    for number, at, layer in every:
        if layer.is_extra:
            extras.setdefault(layer.block, (number, at))
    return [(n, at) for n, at, layer in every if not layer.is_extra] + [
        extras[block] for block in sorted(extras)
    ]
