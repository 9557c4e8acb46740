"""Unconditional U-Nets of RGB images as folders of diffusers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....store.errors import InputError
from ...checkpoints.diffusers_folder import DiffusersFolder, load_model, read_folder
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import digest
from ..options import CheckpointOptions
from .class_embedding import choose_class
from .noise import NoiseSchedule
from .unet import LoadedUNet

__all__ = ["KINDS", "load", "matches", "read_unet_folder", "stated_schedule"]

KINDS: Mapping[str, str] = {"diffusers": "a diffusers UNet2DModel"}

# `Decoder` in unet.py knows these parts; others have skips or attention of their own.
BLOCKS = frozenset(
    f"{kind}{way}{place}"
    for way in ("Down", "Up")
    for kind, place in (("", "Block2D"), ("Attn", "Block2D"), ("Resnet", "sampleBlock2D"))
)
# Of networks that attend to a text
TEXT_BLOCKS = frozenset({"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"})
# What such a network may need besides a text; any of it would have to be invented.
CONDITIONS = (
    "class_embed_type",
    "encoder_hid_dim_type",
    "num_class_embeds",
    "time_cond_proj_dim",
)


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if this is a folder of a network of diffusers, else None."""
    return "diffusers" if "_class_name" in checkpoint.config else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedUNet:
    """Load the U-Net of a folder.

    Raises
    ------
    InputError
        If it is not diffusers' ``UNet2DModel`` of known blocks, its weights are not those of its
        configuration, or an option does not fit it.
    """
    states = "a diffusers folder states it itself"
    options.refuse_all_but(("schedule", "diffusion_steps", "class_number"), states)
    found = read_unet_folder(checkpoint, latent=False)
    schedule = stated_schedule(found)
    if schedule is not None:
        options.refuse(("schedule", "diffusion_steps"), states)
    unet = load_model(found.config["_class_name"], found.network)
    embedding = getattr(unet, "class_embedding", None)
    table = None if embedding is None else embedding.weight
    embedded = unet.time_embedding.linear_1.out_features
    classes, addition = choose_class(table, options.class_number, embedded)
    return LoadedUNet(
        kind="diffusers",
        source=checkpoint.source,
        sha256=digest(found.files),
        architecture=found.architecture() | classes,
        size=found.sample_size(),
        card=found.card,
        weights=checkpoint.weights,
        unet=unet,
        schedule=schedule or NoiseSchedule.of_options(options.schedule, options.diffusion_steps),
        prediction=found.prediction,
        addition=addition,
        scheduler=found.scheduler or {},
    )


def read_unet_folder(checkpoint: Checkpoint, *, latent: bool) -> DiffusersFolder:
    """Find the parts of a U-Net's folder.

    Parameters
    ----------
    checkpoint : Checkpoint
        Of a folder with a network.
    latent : bool
        Whether it may work on latents, and attend to a text.

    Raises
    ------
    InputError
        If the network is another one than a U-Net of known blocks, or a part is missing.
    """
    assert checkpoint.network is not None  # else no `matches` would have said yes
    _refuse_config(checkpoint.config, checkpoint.network, latent)
    return read_folder(checkpoint.path, checkpoint.network, checkpoint.config)


def stated_schedule(found: DiffusersFolder) -> NoiseSchedule | None:
    """Return the noise schedule that a folder states, if it states one."""
    return None if found.scheduler is None else NoiseSchedule.from_diffusers(found.scheduler)


def _refuse_config(config: Mapping[str, Any], network: Path, latent: bool) -> None:
    kind = config.get("_class_name")
    text = latent and kind == "UNet2DConditionModel"
    if kind != "UNet2DModel" and not text:
        raise InputError(f"the network in '{network}' is a {kind}: expected a UNet2DModel")
    stated = (config.get(key) or () for key in ("down_block_types", "up_block_types"))
    blocks = [str(block) for types in stated for block in types]
    known = TEXT_BLOCKS if text else BLOCKS
    unknown = sorted(set(blocks) - known)
    if unknown:
        raise InputError(
            f"the network in '{network}' has blocks of type {', '.join(unknown)}: expected only "
            f"{', '.join(sorted(known))}"
        )
    needed = [name for name in CONDITIONS if config.get(name) is not None]
    if config.get("addition_embed_type") not in (None, "text_time"):
        needed.append("addition_embed_type")
    if text and needed:
        raise InputError(
            f"the network in '{network}' needs more than a text, an image's size and a timestep "
            f"({', '.join(needed)}): such networks are not supported"
        )
    if config.get("class_embed_type") is not None or (
        latent and config.get("num_class_embeds") is not None
    ):
        raise InputError(
            f"the network in '{network}' is class-conditional in a form that is not supported: "
            "expected one without classes, or of RGB images with a table of their embeddings "
            "(num_class_embeds alone)"
        )
    if config.get("time_embedding_type", "positional") != "positional":
        raise InputError(
            f"the network in '{network}' has a {config['time_embedding_type']} time embedding: "
            "expected positional, of whole timesteps"
        )
    if not latent and config.get("in_channels", 3) != 3:
        raise InputError(
            f"the network in '{network}' takes {config['in_channels']} channels: expected 3 (RGB)"
        )
