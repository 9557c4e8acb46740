"""Networks of one's own: ``--backbone package.module:factory``, or a name of an entry point.

A factory takes the checkpoint, as ``--checkpoint`` names it or None, and returns a
``torch.nn.Module`` that maps images (B, 3, H, W), float32 in [-1, 1], to a list of maps
(B, C, h, w), of any sizes. A module's attribute ``size``, a side or (height, width), is the input
size by default. All else is dseg's: devices, precision, mirroring, filters, the store. A package
lists its factories in the entry-point group ``dseg.backbones``, each under the name that
``--backbone`` takes.

A feature spec holds the factory's name. For the features of a model it is imported again only if it
is an installed entry point or the call names it, too: a model from elsewhere must not choose what
runs.
"""

import hashlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....store.errors import InputError
from ...checkpoints.sizes import two_sides
from ..options import CheckpointOptions
from .maps import LoadedMaps, MapsModule

__all__ = ["GROUP", "KIND", "factory_names", "is_factory", "load_own"]

GROUP = "dseg.backbones"
"""Of entry points."""
KIND = "own"

Factory = Callable[[str | None], nn.Module]
_SIDE = 256


def factory_names() -> tuple[str, ...]:
    """Return the names of the installed entry points."""
    return tuple(sorted(entry.name for entry in entry_points(group=GROUP)))


def is_factory(name: str | None) -> bool:
    """Say whether a name is that of a factory: ``module:function``, or of an entry point.

    Examples
    --------
    >>> is_factory("package.module:factory"), is_factory("mae"), is_factory(None)
    (True, False, False)
    """
    return name is not None and (":" in name or name in factory_names())


def load_own(name: str, checkpoint: str | None, options: CheckpointOptions) -> LoadedMaps:
    """Return the network that a factory makes.

    Parameters
    ----------
    name : str
        ``package.module:factory``, or of an entry point.
    checkpoint : str, optional
        Passed on as it is.
    options : CheckpointOptions

    Raises
    ------
    InputError
        If there is no such factory, it fails, or what it returns is no module.
    """
    why = "a network of one's own is read by its factory"
    options.refuse_all_but((), why)
    if options.weights:
        options.refuse(("weights",), why)
    factory = _factory(name)
    if checkpoint is not None and Path(checkpoint).exists():
        checkpoint = str(Path(checkpoint).resolve())  # found again from another folder
    try:
        module = factory(checkpoint)
    except Exception as error:  # the factory's own
        raise InputError(
            f"the factory '{name}' failed for checkpoint {checkpoint!r}: {type(error).__name__}: "
            f"{textwrap.shorten(str(error), 300)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"the factory '{name}' returned a {type(module).__name__}: expected a torch.nn.Module"
        )
    module = deepcopy(module).eval().requires_grad_(False)  # it may be the factory's own, kept
    return LoadedMaps(
        kind=KIND,
        source=checkpoint or name,
        sha256=_digest(module),
        architecture={"factory": name},
        size=_size(module, name),
        module=_Own(module),
        every=True,
        mean=(0.5,) * 3,  # (x + 1) / 2, undone: colours stay in [-1, 1]
        std=(0.5,) * 3,
    )


class _Own(MapsModule):
    """A network of one's own."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, wanted: Sequence[int] | None) -> Sequence[Tensor]:
        """Return the wanted maps."""
        maps: Sequence[Tensor] = self.module(x)
        return maps if wanted is None else [maps[number] for number in wanted]


def _factory(name: str) -> Factory:
    try:
        if ":" not in name:
            found: Any = _entry_point(name).load()
        else:
            module, _, attribute = name.partition(":")
            with _current_folder_importable():
                found = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
    except Exception as error:  # of the module itself, too
        raise InputError(
            f"the factory '{name}' cannot be imported: {type(error).__name__}: {error}. Expected "
            "package.module:factory, installed, on PYTHONPATH or in the current folder"
        ) from error
    if not callable(found):
        raise InputError(f"'{name}' is a {type(found).__name__}: expected a function")
    factory: Factory = found
    return factory


def _entry_point(name: str) -> EntryPoint:
    found = tuple(entry_points(group=GROUP, name=name))
    if len(found) != 1:
        places = ", ".join(entry.value for entry in found)
        raise ValueError(f"{len(found)} installed packages have a network of this name: {places}")
    return found[0]


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """Let modules of the current folder be imported, as ``python -m`` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _size(module: nn.Module, name: str) -> tuple[int, int]:
    size = getattr(module, "size", _SIDE)
    found = two_sides(size)
    if found is None:
        raise InputError(
            f"the network of '{name}' has the attribute size, {size!r}: expected a side in "
            "pixels, or (height, width)"
        )
    return found


def _digest(module: nn.Module) -> str:
    """Return a sha256 of all weights, by name."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, Tensor):  # a module's extra state
            found.update(f"{name} {tensor!r}\n".encode())
            continue
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{name} {tuple(plain.shape)} {plain.dtype}\n".encode())
        found.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
