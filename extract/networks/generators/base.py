"""What generators have in common: latents stand in place of images.

A generator's features are activations on the way to an image that it draws itself, so they are
known of its own images only, by the latent that each was drawn from (Zhang et al., "DatasetGAN",
CVPR 2021).

The published code adds fresh noise on every call. Here the noise of each layer is drawn once, from
a seed, and all images share it: so an image is a function of its latent, and its features, computed
later, are those of the image that was drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....store.errors import InputError
from ....store.spec import LayerSpec
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import digest
from ..base import LoadedNetwork, NetworkBackbone
from ..clean import Shape, choose_numbers
from ..devices import choose_device
from ..options import BackboneOptions
from ..precision import at_precision
from .latents import latents_of, shared_noise
from .weights import MappingNetwork

__all__ = ["TRUNCATION", "Generator", "GeneratorBackbone", "LoadedGenerator"]

TRUNCATION = 0.7
"""Share of a style that is kept, the rest is the average style; as published."""

AVERAGED = 8000
"""Draws of which the average style is computed where a file has none, as DatasetGAN's script."""

_PUBLISHED = (1024, 512)  # features of images of 1024 pixels are read on a grid of 512


class Generator(nn.Module, ABC):
    """A mapping network and a synthesis network.

    Parameters
    ----------
    mapping : MappingNetwork
    latent : int
        Dimensions of a latent.
    shapes : sequence of Shape
        Of the layers of the features.
    noise_sides : sequence of int
        Of the noise maps.
    side : int
        Of images, in pixels.
    styles : int
        How many styles the synthesis network takes.
    truncated : int
        How many of these, from the first, are moved towards the average.
    average : tensor of shape (1, W) or (n, W), optional
        The average style, of all layers or of each; by default that of `AVERAGED` draws.

    Raises
    ------
    InputError
        If the average is of fewer layers.
    """

    average: Tensor

    def __init__(
        self,
        mapping: MappingNetwork,
        latent: int,
        shapes: Sequence[Shape],
        noise_sides: Sequence[int],
        side: int,
        styles: int,
        truncated: int,
        average: Tensor | None,
    ) -> None:
        super().__init__()
        self.mapping, self.latent, self.side = mapping, latent, side
        self.shapes, self.noise_sides = tuple(shapes), tuple(noise_sides)
        self.truncated, self._n_styles = min(truncated, styles), styles
        self.stores_average = average is not None
        found = self._computed_average() if average is None else average
        if len(found) != 1 and len(found) < styles:  # published ones are of 18 layers at any size
            raise InputError(
                f"the average style is of {len(found)} layers, but the generator has {styles}"
            )
        self.register_buffer("average", found[:styles])

    @torch.inference_mode()
    def _computed_average(self) -> Tensor:
        drawn = latents_of(range(AVERAGED), self.latent)
        with at_precision("float32", torch.device("cpu")):
            found = torch.cat([self.mapping(part) for part in torch.split(drawn, 1000)])
        return found.mean(dim=0, keepdim=True)

    def styles(self, latents: Tensor) -> Tensor:
        """Return the styles (B, n, W) of latents (B, Z), truncated as published."""
        w = self.mapping(latents)[:, None].expand(-1, self._n_styles, -1)  # (B, W) -> (B, n, W)
        moved = torch.lerp(self.average, w, TRUNCATION)
        first = torch.arange(self._n_styles, device=w.device) < self.truncated
        return torch.where(first[None, :, None], moved, w)

    @abstractmethod
    def features(
        self, styles: Tensor, noise: Sequence[Tensor], wanted: Sequence[int]
    ) -> list[Tensor]:
        """Return the wanted layers, ascending, each (B, C, h, w), of styles (B, n, W)."""

    @abstractmethod
    def image(self, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Return images (B, 3, S, S), about in [-1, 1], of styles (B, n, W)."""


@dataclass(frozen=True, kw_only=True)
class LoadedGenerator(LoadedNetwork):
    """A generator as loaded, with what is known of it.

    Parameters
    ----------
    generator : Generator
        Evaluation mode, CPU, float32.
    """

    generator: Generator

    @classmethod
    def of(cls, kind: str, generator: Generator, checkpoint: Checkpoint) -> Self:
        """Return the generator of a checkpoint that is a file."""
        return cls(
            kind=kind,
            source=checkpoint.source,
            sha256=digest({"weights": checkpoint.path}),
            architecture={
                "latent": generator.latent,
                "channels": [channels for channels, *_ in generator.shapes],
                "truncation": {"psi": TRUNCATION, "styles": generator.truncated},
                "average": "stored" if generator.stores_average else f"of {AVERAGED} draws",
            },
            size=(generator.side, generator.side),
            weights=checkpoint.weights,
            generator=generator.eval().requires_grad_(False),
        )

    @property
    def latent(self) -> int:
        """Dimensions of a latent."""
        return self.generator.latent

    @torch.inference_mode()
    def images(
        self, latents: Tensor, seed: int = 0, device: str | torch.device | None = None
    ) -> NDArray[np.uint8]:
        """Draw images.

        One after the other, so that a batch gives what each latent gives alone.

        Parameters
        ----------
        latents : tensor of shape (B, Z), float32
            See `latents.latents_of`.
        seed : int
            Of the noise, which all images share: that of the features.
        device : str or torch.device, optional
            By default CUDA, else MPS, else the CPU.

        Returns
        -------
        array of shape (B, H, W, 3), uint8
            Rounded as published: ``floor(127.5 x + 128)``.

        Raises
        ------
        InputError
            If the latents are of another size, or there is no such device.
        """
        where = choose_device(device)
        network, z = self.generator.to(where), checked_latents(latents, self.latent, where)
        noise = [one.to(where) for one in shared_noise(network.noise_sides, seed)]
        drawn = np.empty((len(z), network.side, network.side, 3), np.uint8)
        with at_precision("float32", where):
            for number, one in enumerate(torch.split(z, 1)):
                x = network.image(network.styles(one), noise)[0]
                pixels = (127.5 * x + 128).clamp(0, 255).to(torch.uint8)
                drawn[number] = pixels.permute(1, 2, 0).cpu().numpy()  # (3, S, S) -> (S, S, 3)
        return drawn

    def backbone(self, options: BackboneOptions) -> "GeneratorBackbone":
        """Return the backbone that records what the options say; it takes latents."""
        return GeneratorBackbone(self, options)


class GeneratorBackbone(NetworkBackbone):
    """The activations of a generator, of latents (B, Z) where others take images.

    Parameters
    ----------
    loaded : LoadedGenerator
        Its network is taken over and moved; do not use it elsewhere.
    options : BackboneOptions

    Raises
    ------
    InputError
        See `LoadedNetwork.backbone`.
    """

    def __init__(self, loaded: LoadedGenerator, options: BackboneOptions) -> None:
        _refuse_of_images(options)
        network = loaded.generator
        wanted = loaded.card.blocks if options.blocks is None else options.blocks
        numbers = range(len(network.shapes)) if wanted is None else wanted
        self.blocks = choose_numbers(numbers, len(network.shapes))
        layers = [LayerSpec.clean(number, *network.shapes[number]) for number in self.blocks]
        super().__init__(loaded, options, layers, _grid(options.size, network.side), inputs=False)
        self._description["latent"] = {"size": network.latent, "drawn": "seed of the image"}
        self._network = network.to(self.device)
        self._noise = [n.to(self.device) for n in shared_noise(network.noise_sides, options.seed)]

    @torch.inference_mode()
    def __call__(self, rows: Tensor | NDArray[Any]) -> list[Tensor]:
        """Return the activations of the images of some latents.

        Parameters
        ----------
        rows : tensor or array of shape (B, Z), float32
            See `latents.latents_of`.

        Returns
        -------
        list of tensors of shape (B, C, h, w), float32
            In the order of ``layers``, at native resolution; on ``device``.

        Raises
        ------
        InputError
            If the latents are of another size.
        """
        return self._activations(checked_latents(rows, self._network.latent, self.device))

    def _activations(self, x: Tensor) -> list[Tensor]:
        with at_precision("float32", self.device):
            return self._network.features(self._network.styles(x), self._noise, self.blocks)


def checked_latents(latents: Tensor | NDArray[Any], size: int, device: torch.device) -> Tensor:
    """Return latents as a float32 tensor (B, size) on a device.

    Raises
    ------
    InputError
        If they are of another shape.
    """
    z = torch.as_tensor(latents, dtype=torch.float32, device=device)
    if z.ndim != 2 or z.shape[1] != size:
        raise InputError(
            f"got latents of shape {tuple(z.shape)}, but this generator takes (any number, {size})"
        )
    return z


def _refuse_of_images(options: BackboneOptions) -> None:
    """Raise `UnsupportedOptionError` for options of other networks, or of what images have."""
    options.refuse(("steps", "draws"), "a generator takes no noised image")
    options.refuse(
        ("flip",), "a generator has features of the images it draws, not of mirrored ones"
    )
    options.refuse(("precision",), "its normalisation needs float32")
    if options.inputs:
        options.refuse(("inputs",), "which layers of a generator are recorded is published")
    extras = [name for name in ("filters", "pixels") if getattr(options, name)]
    options.refuse(
        extras,
        "a generator sees latents, not images. Add --checkpoint builtin:filters, which sees them",
    )


def _grid(size: int | tuple[int, int] | None, side: int) -> tuple[int, int]:
    """Return the grid on which features are read: the image's, or the published one of it."""
    asked = (side, side) if size is None else (size, size) if isinstance(size, int) else size
    allowed = [(side, side), *([(_PUBLISHED[1],) * 2] if side == _PUBLISHED[0] else [])]
    if asked not in allowed:
        raise InputError(
            f"a generator's images have one size, {side}x{side}: leave out --size (got "
            f"{asked[0]}x{asked[1]}), or give it to the other networks alone, as in "
            "--checkpoint other.pt@256"
        )
    return asked
