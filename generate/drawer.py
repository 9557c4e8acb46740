"""What draws images from seeds: a diffusion model step by step, or a StyleGAN from a latent."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..extract.networks.devices import choose_device
from ..extract.networks.diffusion.unet import LoadedUNet
from ..extract.networks.generators.base import LoadedGenerator
from ..extract.networks.generators.latents import latents_of
from ..extract.networks.options import CheckpointOptions
from ..extract.registry import load_generator
from ..store.errors import InputError
from .network_facts import network_facts, with_weights
from .sampler import Sampler, SamplerSettings

__all__ = ["Drawer", "LatentDrawer", "open_drawer"]

_LATENT_BATCH = 8  # images that are held at once
_PROBED = 2  # images; the first also warms up


class Drawer(Protocol):
    """Draws images, each from a seed of its own."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    @property
    def batch_size(self) -> int:
        """Images that are drawn together, unless another number is given."""

    @property
    def steps(self) -> int:
        """Passes of the network that an image takes."""

    @property
    def words(self) -> str:
        """What draws, and how; which of several sets of weights, in a line of its own."""

    def facts(self) -> dict[str, Any]:
        """Return all that decides which image a seed draws, and where it is from: JSON values."""

    def draw(
        self,
        seeds: Sequence[int],
        batch_size: int | None = None,
        advance: Callable[[int], object] = lambda n: None,
    ) -> NDArray[np.uint8]:
        """Return the images of some seeds, (n, H, W, 3); ``advance`` is called after each step."""

    def seconds_a_batch(self, batch_size: int) -> float:
        """Measure how long a batch takes to draw."""


class LatentDrawer:
    """A StyleGAN that draws, see `Drawer`.

    Parameters
    ----------
    loaded : LoadedGenerator
    settings : SamplerSettings
        Of which only the device counts.

    Raises
    ------
    InputError
        If other settings are given.
    """

    steps = 1

    def __init__(self, loaded: LoadedGenerator, settings: SamplerSettings) -> None:
        if settings != SamplerSettings(device=settings.device):
            raise InputError(
                f"'{loaded.source}' is a StyleGAN, which draws an image at once, of one size: "
                "leave out the options of samplers (--sampler, --steps, --eta, --size, …)"
            )
        side = loaded.generator.side
        self._loaded, self._device = loaded, choose_device(settings.device)
        self.shape, self.batch_size = (3, side, side), _LATENT_BATCH

    @property
    def words(self) -> str:
        """What draws, and how."""
        _, height, width = self.shape
        words = f"{self._loaded.source}: images of {height}x{width}; on {self._device}"
        return with_weights(words, self._loaded)

    def facts(self) -> dict[str, Any]:
        """Return all that decides which image a seed draws, and where it is from: JSON values."""
        loaded, (_, height, width) = self._loaded, self.shape
        return {
            **network_facts(loaded),
            "sampler": "latent",
            "height": height,
            "width": width,
        }

    def draw(
        self,
        seeds: Sequence[int],
        batch_size: int | None = None,
        advance: Callable[[int], object] = lambda n: None,
    ) -> NDArray[np.uint8]:
        """Return the images of some seeds, (n, H, W, 3)."""
        drawn = self._loaded.images(latents_of(seeds, self._loaded.latent), device=self._device)
        advance(len(seeds))
        return drawn

    def seconds_a_batch(self, batch_size: int) -> float:
        """Measure how long a batch takes to draw, by an image."""
        took = []
        for _ in range(_PROBED):
            start = time.monotonic()
            self.draw([0])
            took.append(time.monotonic() - start)
        return batch_size * min(took)


def open_drawer(checkpoint: str, options: CheckpointOptions, settings: SamplerSettings) -> Drawer:
    """Return what draws with a checkpoint.

    Raises
    ------
    InputError
        If the checkpoint cannot draw images, or the settings do not fit it.
    """
    loaded = load_generator(checkpoint, options)
    if isinstance(loaded, LoadedUNet):
        return Sampler(loaded, settings)
    return LatentDrawer(loaded, settings)
