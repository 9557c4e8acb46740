"""Draw images with a diffusion U-Net: the same image from the same seed.

The noise of an image depends on its seed alone (`SeededNoise`), and on a CPU its steps on nothing
else (`Passes`). On a GPU a pass of the network has as many images as a batch, and another number
rounds otherwise.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..extract.networks.defaults import choose_size
from ..extract.networks.devices import choose_device
from ..extract.networks.diffusion.unet import LoadedUNet
from ..extract.networks.options import Precision
from ..extract.networks.precision import halve_weights
from ..store.errors import InputError
from .network_facts import network_facts, with_weights
from .noise import SeededNoise
from .passes import Passes
from .respacing import SamplingSchedule, default_ddim_respacing
from .scheduler import drawing_of
from .steps import ddim_sigma, ddim_step, ddpm_step, log_variance, predicted_image

__all__ = ["Sampler", "SamplerSettings", "Step", "to_uint8"]

_PROBED = 2  # steps; the first also warms up


@dataclass(frozen=True)
class SamplerSettings:
    """How images are drawn.

    Parameters
    ----------
    sampler : {"ddim", "ddpm"}
        Of Song et al., or ancestral.
    respacing : str, optional
        Which timesteps it takes, see `kept_timesteps`; by default of DDIM 50, else all.
    eta : float
        Of DDIM, how much noise its steps add: 0 none, 1 as much as ancestral steps.
    size : int or (height, width), optional
        Pixels; by default those that the network was trained on.
    rescale : bool
        Whether the network was trained to see timesteps times 1000 / T.
    prediction : str, optional
        What the network predicts, of `steps.PREDICTIONS`; by default what its checkpoint says.
    clip : bool, optional
        Clip each predicted image to the range of images; by default as its checkpoint says.
    precision : {"float32", "float16", "bfloat16"}
        In which the network computes.
    device : str or torch.device, optional
        By default CUDA, else MPS, else the CPU.
    """

    sampler: Literal["ddim", "ddpm"] = "ddim"
    respacing: str | None = None
    eta: float = 0.0
    size: int | tuple[int, int] | None = None
    rescale: bool = False
    prediction: str | None = None
    clip: bool | None = None
    precision: Precision = "float32"
    device: str | torch.device | None = None


@dataclass(frozen=True)
class Step:
    """What a step of a sampler came to.

    Parameters
    ----------
    number : int
        Of the respaced process; the last one taken is 0.
    x : tensor of shape (B, C, H, W), float32
        x_{t-1}; after the last step the image.
    x_0 : tensor of that shape
        The image that the network predicted.
    """

    number: int
    x: Tensor
    x_0: Tensor


class Sampler:
    """Draws images with a diffusion U-Net, see `drawer.Drawer`.

    Parameters
    ----------
    loaded : LoadedUNet
        Of images; its network is taken over and moved, do not use it elsewhere.
    settings : SamplerSettings

    Attributes
    ----------
    schedule : SamplingSchedule
    shape : tuple of int
        Channels, height and width of an image.
    device : torch.device
    drawing : scheduler.Drawing
    words : str
        What draws, and how.

    Raises
    ------
    InputError
        If the network is of latents, or the settings do not fit it.
    """

    def __init__(self, loaded: LoadedUNet, settings: SamplerSettings | None = None) -> None:
        self.settings = settings = settings or SamplerSettings()
        if settings.sampler not in ("ddim", "ddpm"):
            raise InputError(f"the sampler must be ddim or ddpm, got '{settings.sampler}'")
        if settings.eta and settings.sampler == "ddpm":
            raise InputError("eta is of DDIM: ancestral steps (ddpm) always add their noise")
        self.respacing = _respacing(settings, loaded.schedule.timesteps)
        self.schedule = SamplingSchedule.respaced(
            loaded.schedule, self.respacing, rescale=settings.rescale
        )
        self.drawing = drawing_of(loaded, settings.prediction, settings.clip)
        cell = max(block.stride_in for block in loaded.blocks())
        height, width = choose_size(settings.size, loaded.size or loaded.card.size, cell)
        self.shape = (self.drawing.channels, height, width)
        self.device = choose_device(settings.device)
        self._facts = {
            **network_facts(loaded),
            "class_number": loaded.architecture.get("class_number"),
            "schedule": dict(loaded.schedule.description),
        }
        self.words = self._words(loaded)
        self._passes = self._prepared(loaded)

    def _prepared(self, loaded: LoadedUNet) -> Passes:
        """Return the network on its device; as for features, see `UNetBackbone`."""
        precision = self.settings.precision
        last = self.device.type == "cpu" or precision != "float32"
        memory_format = torch.channels_last if last else torch.contiguous_format
        whole = loaded.whole()
        of_timesteps: Any = whole.time_embedding
        halve_weights(whole, precision, but=of_timesteps)
        network = whole.to(self.device, memory_format=memory_format)  # type: ignore[call-overload]
        return Passes(network, self.device, precision, memory_format)

    @property
    def batch_size(self) -> int:
        """How many images are drawn together, unless another number is given."""
        return self._passes.batch_size

    @property
    def steps(self) -> int:
        """Passes of the network that an image takes."""
        return len(self.schedule)

    def _words(self, loaded: LoadedUNet) -> str:
        _, height, width = self.shape
        how = f"DDIM, eta {self.settings.eta:g}" if self.settings.sampler == "ddim" else "DDPM"
        words = (
            f"{loaded.source}: images of {height}x{width}, {how}, {self.steps} of "
            f"{self.schedule.total} timesteps; on {self.device}"
        )
        return with_weights(words, loaded)

    def facts(self) -> dict[str, Any]:
        """Return all that decides which image a seed draws, and where it is from: JSON values."""
        settings, drawing = self.settings, self.drawing
        _, height, width = self.shape
        return {
            **self._facts,
            "sampler": settings.sampler,
            "respacing": self.respacing,
            "steps": self.steps,
            "eta": settings.eta,
            "height": height,
            "width": width,
            "rescale_timesteps": settings.rescale,
            "prediction": drawing.prediction,
            "variance": drawing.variance,
            "clip": drawing.limit,
            "precision": settings.precision,
        }

    @torch.inference_mode()
    def draw(
        self,
        seeds: Sequence[int],
        batch_size: int | None = None,
        advance: Callable[[int], object] = lambda n: None,
    ) -> NDArray[np.uint8]:
        """Draw images.

        Parameters
        ----------
        seeds : sequence of int
            One an image. The same seed gives the same image in any company; on a CPU with any
            batch size, elsewhere with another batch size but for rounding.
        batch_size : int, optional
            Images that are held at once.
        advance : callable
            Called after each step with the number of images that took it.

        Returns
        -------
        array of shape (n, H, W, 3), uint8
            Of grey images the three channels are equal.

        Raises
        ------
        InputError
            If a seed is out of range, or the batch size is below 1.
        """
        size = self.batch_size if batch_size is None else batch_size
        if size < 1:
            raise InputError(f"a batch has at least one image, got {size}")
        drawn = np.empty((len(seeds), *self.shape[1:], 3), np.uint8)
        for first in range(0, len(seeds), size):
            some = seeds[first : first + size]
            noise = SeededNoise(some, self.shape)
            x = noise().to(self.device)
            for step in self.walk(x, lambda k: noise(), at_once=size):  # noqa: B023
                x = step.x
                advance(len(some))
            drawn[first : first + len(some)] = to_uint8(x)
        return drawn

    @torch.inference_mode()
    def seconds_a_batch(self, batch_size: int) -> float:
        """Measure how long a batch takes to draw, by its first steps."""
        x = torch.zeros(batch_size, *self.shape, device=self.device)
        walk, took = self.walk(x, lambda k: torch.zeros_like(x), at_once=batch_size), []
        for _ in range(min(_PROBED, self.steps)):
            start = time.monotonic()
            next(walk).x.sum().item()  # waits for a GPU
            took.append(time.monotonic() - start)
        return self.steps * min(took)

    def walk(
        self, x: Tensor, noise: Callable[[int], Tensor], *, at_once: int | None = None
    ) -> Iterator[Step]:
        """Yield every step from noise to images.

        Parameters
        ----------
        x : tensor of shape (B, C, H, W), float32
            x_T, on the device.
        noise : callable
            Takes how many steps have been taken, and returns z of that shape; called in order,
            and only for steps that take any.
        at_once : int, optional
            Images in a pass of the network, not on a CPU; by default all.
        """
        schedule, drawing, settings = self.schedule, self.drawing, self.settings
        for taken, step in enumerate(reversed(range(self.steps))):
            output = self._passes(x, schedule.seen(step), at_once or len(x))
            mean, values = output[:, : drawing.channels], output[:, drawing.channels :]
            x_0 = predicted_image(mean, x, step, schedule, drawing.prediction, drawing.limit)
            sigma = ddim_sigma(step, schedule, settings.eta)
            takes_noise = step > 0 and (settings.sampler == "ddpm" or sigma > 0)
            z = noise(taken).to(self.device) if takes_noise else None
            if settings.sampler == "ddim":
                x = ddim_step(x_0, x, step, schedule, sigma, z)
            else:
                log_var = log_variance(step, schedule, drawing.variance, values)
                x = ddpm_step(x_0, x, step, schedule, log_var, z)
            yield Step(step, x, x_0)


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """Return images as they are saved: truncated, as the published data set generator does.

    Parameters
    ----------
    x : tensor of shape (B, C, H, W), float32
        In [-1, 1]; C is 3, or 1 of grey images.

    Returns
    -------
    array of shape (B, H, W, 3), uint8
    """
    levels = ((x + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()


def _respacing(settings: SamplerSettings, timesteps: int) -> str:
    if settings.respacing is not None:
        return settings.respacing.replace(" ", "")
    return default_ddim_respacing(timesteps) if settings.sampler == "ddim" else ""
