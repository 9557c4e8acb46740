"""How images become the latents that a diffusion U-Net works on, and the empty prompt.

An autoencoder turns an image into a smaller map of a few channels, in which the noise is and the
U-Net works (Rombach et al., CVPR 2022). The mean of the encoder's distribution is taken, so that
the same image gives the same latents. Networks that attend to a text get the empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .prompt import Prompt

__all__ = ["LatentSpace", "size_ids"]


@dataclass(frozen=True)
class LatentSpace:
    """How images become latents.

    Parameters
    ----------
    autoencoder : nn.Module
        diffusers' ``AutoencoderKL`` or ``VQModel``.
    scale, shift : float
        Latents are what the encoder gives, less the shift, times the scale.
    factor : int
        Image pixels a side of a latent cell.
    channels : int
        Of the latents.
    files : mapping of str to Path
        Of the autoencoder, by role.
    prompt : Prompt, optional
        The empty prompt, of a U-Net that attends to a text.
    """

    autoencoder: Any
    scale: float
    shift: float
    factor: int
    channels: int
    files: Mapping[str, Path]
    prompt: Prompt | None

    def to(self, device: torch.device) -> "LatentSpace":
        """Move it to a device."""
        prompt = None if self.prompt is None else self.prompt.to(device)
        moved = {**vars(self), "autoencoder": self.autoencoder.to(device), "prompt": prompt}
        return LatentSpace(**moved)

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents (B, channels, H / factor, W / factor) of (B, 3, H, W) in [-1, 1]."""
        encoded = self.autoencoder.encode(x)
        latents: Tensor = (
            encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        )
        return (latents - self.shift) * self.scale

    @torch.inference_mode()
    def addition(self, unet: Any, row_shape: tuple[int, int]) -> Tensor | None:
        """Return what a U-Net adds to its timestep's embedding, (1, channels); None if nothing.

        Stable Diffusion XL adds the pooled text and the image's size, here a whole image of
        the input's size (Podell et al., ICLR 2024, section 2.2).
        """
        if self.prompt is None or self.prompt.pooled is None:
            return None
        sizes = unet.add_time_proj(torch.tensor(size_ids(row_shape))).reshape(1, -1)
        added: Tensor = unet.add_embedding(torch.cat([self.prompt.pooled, sizes], dim=1))
        return added

    def describe(self) -> dict[str, Any]:
        """Return what of it changes activations, in plain JSON values."""
        plain: dict[str, Any] = {"latents": {"scale": self.scale, "shift": self.shift}}
        if self.prompt is not None:
            plain["prompt"] = self.prompt.as_text()
        return plain


def size_ids(row_shape: tuple[int, int]) -> list[int]:
    """Return Stable Diffusion XL's size conditioning: original size, crop's corner, target size."""
    return [*row_shape, 0, 0, *row_shape]
