"""Diffusion U-Nets that work on latents: how images become latents, and the empty prompt.

An autoencoder turns an image into a smaller map of a few channels, in which the noise is and the
U-Net works (Rombach et al., CVPR 2022). The mean of the encoder's distribution is taken, so that
the same image gives the same latents. Networks that listen to a text are told the empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..store.errors import InputError
from .card import read_json
from .diffusers_folder import (
    AUTOENCODERS,
    WEIGHTS,
    DiffusersFolder,
    autoencoder_beside,
    find_network,
    load_model,
    load_network,
)
from .prompt import Prompt, embed_empty_prompt
from .weights import find_weights

__all__ = ["LatentSpace", "load_latent_network"]


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
        The empty prompt, of a U-Net that listens to a text.
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

        Stable Diffusion XL adds the pooled text and the image's size, here a whole image of a
        row's (Podell et al., ICLR 2024, section 2.2).
        """
        if self.prompt is None or self.prompt.pooled is None:
            return None
        sizes = unet.add_time_proj(torch.tensor(_size_ids(row_shape))).reshape(1, -1)
        added: Tensor = unet.add_embedding(torch.cat([self.prompt.pooled, sizes], dim=1))
        return added

    def describe(self) -> dict[str, Any]:
        """Return what of it changes activations, in plain JSON values."""
        plain: dict[str, Any] = {"latents": {"scale": self.scale, "shift": self.shift}}
        if self.prompt is not None:
            plain["prompt"] = self.prompt.as_text()
        return plain


def load_latent_network(
    folder: Path, prompt: str | None, network: Path | None = None
) -> tuple[DiffusersFolder, nn.Module, LatentSpace]:
    """Load the U-Net of a pipeline's folder, and its latent space.

    Parameters
    ----------
    folder : Path
        A diffusers pipeline: ``unet``, ``vae`` or ``vqvae``, ``scheduler``; ``text_encoder`` and
        ``tokenizer`` where the U-Net listens to a text.
    prompt : str, optional
        The embedding of the empty prompt, as `LatentSpace.describe` gives it.
    network : Path, optional
        Where in the folder the U-Net is, as `diffusers_folder.choose_network` says.

    Raises
    ------
    InputError
        If a part is missing, damaged or of an unknown form.
    """
    found = find_network(folder, latent=True, network=network)
    place = autoencoder_beside(found.network)
    if place is None:
        raise InputError(
            f"the U-Net in '{found.network}' works on latents, but beside it is no autoencoder "
            "that makes them: give the whole pipeline's folder, with 'vae' and 'scheduler'"
        )
    autoencoder, files = _autoencoder(place)
    channels = int(autoencoder.config.latent_channels)
    if found.config.get("in_channels") != channels:
        raise InputError(
            f"the U-Net in '{found.network}' takes {found.config.get('in_channels')} channels, but "
            f"the latents have {channels}: inpainting and the like are not supported"
        )
    text = found.config.get("_class_name") == "UNet2DConditionModel"
    space = LatentSpace(
        autoencoder=autoencoder,
        scale=_number(autoencoder, "scaling_factor", 1),
        shift=_number(autoencoder, "shift_factor", 0),
        factor=2 ** (len(autoencoder.config.block_out_channels) - 1),
        channels=channels,
        files=files,
        prompt=_prompt(place.parent, found.config, prompt) if text else None,
    )
    return found, load_network(found), space


def _autoencoder(place: Path) -> tuple[Any, dict[str, Path]]:
    """Load the autoencoder of a pipeline's sub-folder, and return it with its files by role."""
    part, kind = place.name, read_json(place / "config.json").get("_class_name")
    if kind != AUTOENCODERS[part]:
        raise InputError(
            f"the autoencoder in '{place}' is a {kind}: expected a {AUTOENCODERS[part]}"
        )
    files = {"config": place / "config.json", **find_weights(place, WEIGHTS)}
    by_role = {f"{part} {role}": path for role, path in files.items()}
    return load_model(AUTOENCODERS[part], place), by_role


def _number(autoencoder: Any, name: str, default: float) -> float:
    """Return a number of an autoencoder's configuration; the default where it states none."""
    value = getattr(autoencoder.config, name, None) or default
    if not isinstance(value, int | float):
        raise InputError(f"the autoencoder states a {name} of {value!r}: expected a number")
    return float(value)


def _prompt(folder: Path, config: Mapping[str, Any], text: str | None) -> Prompt:
    """Return the empty prompt's embedding: the one given, or the text encoders'."""
    two = config.get("addition_embed_type") == "text_time"
    prompt = embed_empty_prompt(folder, two=two) if text is None else Prompt.from_text(text)
    wanted, has = config.get("cross_attention_dim", 1280), prompt.tokens.shape[-1]
    if has != wanted:
        raise InputError(
            f"the text encoder in '{folder}' gives {has} channels, but the U-Net takes {wanted}: "
            "are they of one pipeline?"
        )
    if two:
        beside = len(_size_ids((1, 1))) * config.get("addition_time_embed_dim", 256)
        wanted = config.get("projection_class_embeddings_input_dim")
        has = 0 if prompt.pooled is None else prompt.pooled.shape[-1]
        if wanted != has + beside:
            raise InputError(
                f"the U-Net of '{folder}' adds {wanted} channels to its timestep, but the pooled "
                f"text and the image's size make {has} + {beside}: it is no Stable Diffusion XL "
                "base network"
            )
    return prompt


def _size_ids(row_shape: tuple[int, int]) -> list[int]:
    """Return what Stable Diffusion XL is told of an image: its size, its corner, its size."""
    return [*row_shape, 0, 0, *row_shape]
