"""Diffusion U-Nets that work on latents: how images become latents, and the empty prompt.

An autoencoder turns an image into a smaller map of a few channels, in which the noise is and the
U-Net works (Rombach et al., CVPR 2022). The mean of the encoder's distribution is taken, so that
the same image gives the same latents. Networks that listen to a text are told the empty one.
"""

import base64
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..store.errors import InputError
from .card import read_json
from .diffusers_folder import (
    AUTOENCODERS,
    DiffusersFolder,
    autoencoder_beside,
    find_network,
    load_model,
    load_network,
    weights_in,
)

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
    prompt : tensor of shape (1, tokens, channels), float32, optional
        The empty prompt's embedding, of a U-Net that listens to a text. Rounded to float16.
    """

    autoencoder: Any
    scale: float
    shift: float
    factor: int
    channels: int
    files: Mapping[str, Path]
    prompt: Tensor | None

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

    def describe(self) -> dict[str, Any]:
        """Return what of it changes activations, in plain JSON values."""
        plain: dict[str, Any] = {"latents": {"scale": self.scale, "shift": self.shift}}
        if self.prompt is not None:
            plain["prompt"] = _as_text(self.prompt)
        return plain


def load_latent_network(
    folder: Path, prompt: str | None
) -> tuple[DiffusersFolder, nn.Module, LatentSpace]:
    """Load the U-Net of a pipeline's folder, and its latent space.

    Parameters
    ----------
    folder : Path
        A diffusers pipeline: ``unet``, ``vae`` or ``vqvae``, ``scheduler``; ``text_encoder`` and
        ``tokenizer`` where the U-Net listens to a text.
    prompt : str, optional
        The embedding of the empty prompt, as `LatentSpace.describe` gives it.

    Raises
    ------
    InputError
        If a part is missing, damaged or of an unknown form.
    """
    found = find_network(folder, latent=True)
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
    weights = weights_in(place)
    files = {f"{part} config": place / "config.json", f"{part} weights": weights}
    return load_model(AUTOENCODERS[part], place, weights), files


def _number(autoencoder: Any, name: str, default: float) -> float:
    """Return a number of an autoencoder's configuration; the default where it states none."""
    value = getattr(autoencoder.config, name, None) or default
    if not isinstance(value, int | float):
        raise InputError(f"the autoencoder states a {name} of {value!r}: expected a number")
    return float(value)


def _prompt(folder: Path, config: Mapping[str, Any], text: str | None) -> Tensor:
    """Return the empty prompt's embedding: the one given, or the text encoder's."""
    embedding = _from_text(text) if text is not None else _embedded(folder)
    wanted = config.get("cross_attention_dim", 1280)
    if embedding.shape[-1] != wanted:
        raise InputError(
            f"the text encoder in '{folder}' gives {embedding.shape[-1]} channels, but the U-Net "
            f"takes {wanted}: are they of one pipeline?"
        )
    return embedding


def _embedded(folder: Path) -> Tensor:
    """Let the pipeline's text encoder embed the empty prompt, as diffusers does."""
    from transformers import AutoTokenizer, CLIPTextModel

    from .transformers_folder import loaded_quietly

    lacking = [p for p in ("text_encoder", "tokenizer") if not (folder / p).is_dir()]
    if lacking:
        raise InputError(
            f"the U-Net listens to a text, but '{folder}' lacks {' and '.join(lacking)}, to embed "
            "the empty one with: give the whole pipeline's folder"
        )
    encoder = loaded_quietly(
        CLIPTextModel,
        f"the weights in '{folder / 'text_encoder'}'",
        folder / "text_encoder",
        local_files_only=True,
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        tokens = tokenizer(
            "", padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
    except Exception as error:  # transformers and tokenizers each raise their own
        raise InputError(
            f"the tokenizer in '{folder / 'tokenizer'}' cannot be used: "
            f"{textwrap.shorten(str(error), 200)}"
        ) from error
    with torch.inference_mode():
        embedding = encoder(tokens.input_ids)[0]
    return _from_text(_as_text(embedding))


def _as_text(embedding: Tensor) -> str:
    """Return an embedding as ``<tokens>x<channels>:<base64 of float16, little-endian>``."""
    values = embedding[0].cpu().numpy().astype("<f2")
    shape = "x".join(map(str, values.shape))
    return f"{shape}:{base64.b64encode(values.tobytes()).decode()}"


def _from_text(text: str) -> Tensor:
    shape, _, coded = text.partition(":")
    values = np.frombuffer(base64.b64decode(coded), "<f2")
    tokens, channels = map(int, shape.split("x"))
    return torch.from_numpy(values.reshape(1, tokens, channels).astype(np.float32))
