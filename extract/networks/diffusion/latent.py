"""Diffusion U-Nets that work on latents, as pipelines of diffusers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....store.errors import InputError
from ...checkpoints.card import read_json
from ...checkpoints.diffusers_folder import (
    AUTOENCODERS,
    WEIGHTS,
    find_autoencoder,
    load_model,
    pipeline_of,
)
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import digest
from ...checkpoints.weight_files import find_weights
from ..options import CheckpointOptions
from .diffusers_unet import read_unet_folder, stated_schedule
from .latent_space import LatentSpace, size_ids
from .prompt import Prompt, embed_empty_prompt
from .unet import LoadedUNet

__all__ = ["KINDS", "load", "matches"]

KINDS: Mapping[str, str] = {
    "latent-diffusion": "a diffusion U-Net of latents, with their autoencoder"
}


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if this is a folder of such a network, else None.

    Latents may look like RGB, so what counts is an autoencoder next to the U-Net, there or named.
    """
    network, config = checkpoint.network, checkpoint.config
    if network is None or "_class_name" not in config:
        return None
    index = pipeline_of(network) / "model_index.json"
    named = read_json(index) if index.is_file() else {}
    latent = (
        config["_class_name"] == "UNet2DConditionModel"
        or find_autoencoder(network) is not None
        or any(part in named for part in AUTOENCODERS)
    )
    return "latent-diffusion" if latent else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedUNet:
    """Load the U-Net of a pipeline's folder, and its latent space.

    The folder holds ``unet``, ``vae`` or ``vqvae``, ``scheduler``; ``text_encoder`` and
    ``tokenizer`` where the U-Net attends to a text.

    Raises
    ------
    InputError
        If a part is missing, damaged or of an unknown form, or an option does not fit the network.
    """
    options.refuse_all_but(("prompt",), "a diffusers folder states it itself")
    found = read_unet_folder(checkpoint, latent=True)
    folder = find_autoencoder(found.network)
    if folder is None:
        raise InputError(
            f"the U-Net in '{found.network}' works on latents, but its folder has no autoencoder "
            "that makes them: give the whole pipeline's folder, with 'vae' and 'scheduler'"
        )
    autoencoder, files = _autoencoder(folder)
    latents = LatentSpace(
        autoencoder=autoencoder,
        scale=_number(autoencoder, "scaling_factor", 1),
        shift=_number(autoencoder, "shift_factor", 0),
        factor=2 ** (len(autoencoder.config.block_out_channels) - 1),
        channels=_channels(autoencoder, found.config, found.network),
        files=files,
        prompt=_prompt(folder.parent, found.config, options.prompt),
    )
    schedule, size = stated_schedule(found), found.sample_size()
    if schedule is None:
        raise InputError(f"folder '{checkpoint.path}' lacks scheduler/scheduler_config.json")
    return LoadedUNet(
        kind="latent-diffusion",
        source=checkpoint.source,
        sha256=digest({**found.files, **latents.files}),
        architecture=found.architecture(),
        size=size and (size[0] * latents.factor, size[1] * latents.factor),
        card=found.card,
        weights=checkpoint.weights,
        unet=load_model(found.config["_class_name"], found.network),
        schedule=schedule,
        latents=latents,
        prediction=found.prediction,
    )


def _channels(autoencoder: Any, config: Mapping[str, Any], network: Path) -> int:
    """Return the channels of the latents, which must be those of the U-Net's input."""
    channels = int(autoencoder.config.latent_channels)
    if config.get("in_channels") != channels:
        raise InputError(
            f"the U-Net in '{network}' takes {config.get('in_channels')} channels, but the latents "
            f"have {channels}: inpainting and the like are not supported"
        )
    return channels


def _autoencoder(folder: Path) -> tuple[Any, dict[str, Path]]:
    """Load the autoencoder of a pipeline's sub-folder, and return it with its files by role."""
    part, kind = folder.name, read_json(folder / "config.json").get("_class_name")
    if kind != AUTOENCODERS[part]:
        raise InputError(
            f"the autoencoder in '{folder}' is a {kind}: expected a {AUTOENCODERS[part]}"
        )
    files = {"config": folder / "config.json", **find_weights(folder, WEIGHTS)}
    by_role = {f"{part} {role}": path for role, path in files.items()}
    return load_model(AUTOENCODERS[part], folder), by_role


def _number(autoencoder: Any, name: str, default: float) -> float:
    """Return a number of an autoencoder's configuration; the default where it states none."""
    value = getattr(autoencoder.config, name, None) or default
    if not isinstance(value, int | float):
        raise InputError(f"the autoencoder states a {name} of {value!r}: expected a number")
    return float(value)


def _prompt(folder: Path, config: Mapping[str, Any], text: str | None) -> Prompt | None:
    """Return the empty prompt's embedding: the one given, or the text encoders'.

    None of a U-Net that attends to no text.
    """
    if config.get("_class_name") != "UNet2DConditionModel":
        return None
    two = config.get("addition_embed_type") == "text_time"
    prompt = embed_empty_prompt(folder, two=two) if text is None else Prompt.from_text(text)
    wanted, has = config.get("cross_attention_dim", 1280), prompt.tokens.shape[-1]
    if has != wanted:
        raise InputError(
            f"the text encoder in '{folder}' gives {has} channels, but the U-Net takes {wanted}: "
            "are they of one pipeline?"
        )
    if two:
        of_size = len(size_ids((1, 1))) * config.get("addition_time_embed_dim", 256)
        wanted = config.get("projection_class_embeddings_input_dim")
        has = 0 if prompt.pooled is None else prompt.pooled.shape[-1]
        if wanted != has + of_size:
            raise InputError(
                f"the U-Net of '{folder}' adds {wanted} channels to its timestep, but the pooled "
                f"text and the image's size make {has} + {of_size}: it is no Stable Diffusion XL "
                "base network"
            )
    return prompt
