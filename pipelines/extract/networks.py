"""Which networks an extraction runs, each at which size: parsed and loaded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...extract.backbone import open_backbone
from ...extract.checkpoints.builtin import FILTERS, IMAGENET
from ...extract.networks.options import BackboneOptions, UnsupportedOptionError
from ...extract.protocol import Backbone
from ...store.errors import InputError
from ...store.spec import Fit
from ..console.values import parse_sizes

__all__ = ["NetworkInput", "default_networks", "load_networks", "network_inputs"]

Size = tuple[int, int]
_WITH_SIZES = re.compile(r"(.+)@(\d+(?:x\d+)?(?:,\d+(?:x\d+)?)*)")


@dataclass(frozen=True)
class NetworkInput:
    """A network at one size of its input.

    Parameters
    ----------
    checkpoint : str
    size : (height, width), optional
        By default the checkpoint's.
    """

    checkpoint: str
    size: Size | None = None


_GRID, _SCALES, _TILE = (128, 128), ((256, 256), (512, 512)), (256, 256)


def network_inputs(checkpoints: Sequence[str], sizes: Sequence[Size]) -> list[NetworkInput]:
    """Return the networks of some checkpoints, each at its sizes.

    Parameters
    ----------
    checkpoints : sequence of str
        Each as `open_backbone` takes it, perhaps with sizes of its own: ``net.pt@256,512``.
    sizes : sequence of (height, width)
        Of those without their own; none for the checkpoint's.

    Examples
    --------
    >>> network_inputs(["a.pt", "b.pt@64,96x128"], [])  # doctest: +NORMALIZE_WHITESPACE
    [NetworkInput(checkpoint='a.pt', size=None),
     NetworkInput(checkpoint='b.pt', size=(64, 64)),
     NetworkInput(checkpoint='b.pt', size=(96, 128))]
    """
    found: list[NetworkInput] = []
    for text in checkpoints:
        match = None if Path(text).exists() else _WITH_SIZES.fullmatch(text)
        name, own = (text, sizes) if match is None else (match[1], parse_sizes(match[2]))
        found += [NetworkInput(name, size) for size in own] or [NetworkInput(name)]
    return found


def default_networks(sizes: Sequence[Size], fit: Fit) -> list[NetworkInput]:
    """Return what is used where no checkpoint is named.

    Filters, colour and position, on whose grid masks are made, and an ImageNet network at two
    scales; chosen by cross-validation (docs/default-features.md).

    Parameters
    ----------
    sizes : sequence of (height, width)
        Of the network's input; none for the default.
    fit : {"squash", "pad", "tile"}
        Tiles have one size.
    """
    scales = sizes or ((_TILE,) if fit == "tile" else _SCALES)
    grid = scales[0] if sizes or fit == "tile" else _GRID
    return [NetworkInput(FILTERS, grid), *(NetworkInput(IMAGENET, size) for size in scales)]


def load_networks(
    inputs: Sequence[NetworkInput], options: BackboneOptions, optional: frozenset[str]
) -> list[Backbone]:
    """Load networks, which share the options.

    Of several networks, each takes the options that it supports, and an option that none supports
    is refused. Handcrafted layers come with the first network that has them.

    Parameters
    ----------
    inputs : sequence of NetworkInput
    options : BackboneOptions
    optional : frozenset of str
        Options that are ignored where the network does not support them.

    Raises
    ------
    InputError
        If a checkpoint cannot be used, or is given twice at one size; an `UnsupportedOptionError`
        for an option that no network supports.
    """
    doubles = [one for one in inputs if inputs.count(one) > 1]
    if doubles:
        raise InputError(f"checkpoint '{doubles[0].checkpoint}' is given twice at one size")
    names = list(dict.fromkeys(one.checkpoint for one in inputs))
    several = len(names) > 1
    for name in ("blocks", "backbone") if several else ():
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name} describes one network, but there are {len(names)}: "
                f"{', '.join(names)}. Name one with --checkpoint; to use several, extract them "
                "into stores of their own, and give `dseg fit` all of these"
            )
    backbones: list[Backbone] = []
    unsupported: list[set[str]] = []
    for one in inputs:
        own = options if one.size is None else replace(options, size=one.size)
        layers = [layer for backbone in backbones for layer in backbone.layers]
        if any(layer.is_filters for layer in layers):
            own = replace(own, filters=False)
        if any(layer.is_pixels for layer in layers):
            own = replace(own, pixels=False)
        backbone, left_out = _loaded(one.checkpoint, own, optional, several=several)
        backbones.append(backbone)
        unsupported.append(left_out)
    useless = set.intersection(*unsupported) - optional
    if useless:
        names = sorted(useless)
        words = f"{', '.join(names)} cannot be set for these checkpoints: none supports it"
        raise UnsupportedOptionError(words, names)
    return backbones


def _loaded(
    checkpoint: str, options: BackboneOptions, optional: frozenset[str], *, several: bool
) -> tuple[Backbone, set[str]]:
    """Load a network, and return it with the options that it does not support."""
    left_out: set[str] = set()
    while True:
        try:
            return open_backbone(checkpoint, options), left_out
        except UnsupportedOptionError as error:
            if not (several or optional.issuperset(error.names)):
                raise
            left_out |= set(error.names)
            defaults = {name: getattr(BackboneOptions(), name) for name in error.names}
            options = replace(options, **defaults)
