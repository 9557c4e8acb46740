"""Networks in diffusers' own form: a folder with ``config.json`` and weights."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from .card import CARD, Card, read_json
from .noise import NoiseSchedule
from .weight_sets import AS_BEFORE, Choice, NoChoiceError, choose_name
from .weights import are_safetensors, find_weights

__all__ = [
    "AUTOENCODERS",
    "NETWORKS",
    "SCHEDULER",
    "WEIGHTS",
    "DiffusersFolder",
    "autoencoder_beside",
    "choose_network",
    "find_network",
    "load_model",
    "load_network",
    "pipeline_of",
]

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
SCHEDULER = "scheduler_config.json"
NETWORKS = ("unet", "unet_ema")
"""The sub-folders that hold a U-Net; training leaves the averaged weights in the second."""
AUTOENCODERS = {"vae": "AutoencoderKL", "vqvae": "VQModel"}
"""The sub-folders of a pipeline that make latents, and what must be in them."""
# `Decoder` in unet.py knows these parts; others have skips or attention of their own.
BLOCKS = frozenset(
    f"{kind}{way}{place}"
    for way in ("Down", "Up")
    for kind, place in (("", "Block2D"), ("Attn", "Block2D"), ("Resnet", "sampleBlock2D"))
)
# Of networks that listen to a text
TEXT_BLOCKS = frozenset({"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"})
# What such a network may ask for beside a text; any of it would have to be made up.
CONDITIONS = (
    "class_embed_type",
    "encoder_hid_dim_type",
    "num_class_embeds",
    "time_cond_proj_dim",
)


@dataclass(frozen=True)
class DiffusersFolder:
    """Where the parts of a network lie.

    Parameters
    ----------
    network : Path
        Folder with the network's ``config.json`` and weights.
    config : mapping
        Its configuration.
    files : mapping of str to Path
        The files that count, by role: ``config``, those of `find_weights`, and ``scheduler`` if
        there is one.
    card : Card
    """

    network: Path
    config: Mapping[str, Any]
    files: Mapping[str, Path]
    card: Card

    def schedule(self) -> NoiseSchedule | None:
        """Return the noise schedule that the folder states, if it states one."""
        path = self.files.get("scheduler")
        return None if path is None else NoiseSchedule.from_diffusers(read_json(path))

    def aim(self) -> str:
        """Return what the network was trained to predict, as diffusers names it."""
        path = self.files.get("scheduler")
        return "epsilon" if path is None else str(read_json(path).get("prediction_type", "epsilon"))

    def sample_size(self) -> tuple[int, int] | None:
        """Return height and width of what the network was trained on, if it says so.

        Raises
        ------
        InputError
            If it says so in another form.
        """
        size = self.config.get("sample_size")
        if size is None:
            return None
        sides = size if isinstance(size, list) else [size, size]
        if len(sides) != 2 or any(type(side) is not int for side in sides):
            raise InputError(
                f"the network in '{self.network}' states a sample_size of {size!r}: expected a "
                "side, or [height, width]"
            )
        return sides[0], sides[1]

    def architecture(self) -> dict[str, Any]:
        """Return what of the configuration changes activations."""
        public = {key: value for key, value in self.config.items() if not key.startswith("_")}
        return {k: v for k, v in public.items() if k not in ("sample_size", "dropout")}


def choose_network(folder: Path, weights: str | None = None) -> tuple[Path | None, Choice]:
    """Return where a folder's network lies: in a sub-folder of `NETWORKS` or in itself.

    Parameters
    ----------
    folder : Path
    weights : str, optional
        Which sub-folder, or `weight_sets.AS_BEFORE`; by default that of the averaged weights.

    Returns
    -------
    network : Path, optional
        None if there is no network.
    choice : Choice

    Raises
    ------
    InputError
        If there is no such sub-folder.
    """
    names = [name for name in NETWORKS if (folder / name / "config.json").is_file()]
    if not names:
        if weights not in (None, AS_BEFORE):
            has = f"it has no sub-folder {' or '.join(NETWORKS)}"
            raise NoChoiceError(f"'{folder}' has no weights '{weights}': {has}")
        return (folder if (folder / "config.json").is_file() else None), Choice()
    before = names[0]
    name = before if weights == AS_BEFORE else choose_name(names, weights, str(folder))
    return folder / name, Choice.of([name], [n for n in names if n != name], [before])


def pipeline_of(network: Path) -> Path:
    """Return the folder of the pipeline that a U-Net's folder is part of, else that itself."""
    return network.parent if network.name in NETWORKS else network


def autoencoder_beside(network: Path) -> Path | None:
    """Return the folder of a pipeline's autoencoder, given its U-Net's; None if there is none.

    Raises
    ------
    InputError
        If there are two.
    """
    places = [pipeline_of(network) / part for part in AUTOENCODERS]
    found = [place for place in places if (place / "config.json").is_file()]
    if len(found) > 1:
        raise InputError(
            f"beside the U-Net in '{network}' are two autoencoders, "
            f"{' and '.join(place.name for place in found)}: remove the one that is not the U-Net's"
        )
    return found[0] if found else None


def find_network(
    folder: Path, latent: bool = False, network: Path | None = None
) -> DiffusersFolder:
    """Find the U-Net in a folder: itself, its ``unet`` sub-folder, or a pipeline's part.

    Parameters
    ----------
    folder : Path
    latent : bool
        Whether it may work on latents, and listen to a text.
    network : Path, optional
        Where in the folder it is, as `choose_network` says.

    Raises
    ------
    InputError
        If there is none, or it is not diffusers' ``UNet2DModel`` of known blocks.
    """
    network = network or choose_network(folder)[0]
    if network is None:
        raise InputError(
            f"folder '{folder}' holds no network: expected a config.json beside the weights "
            f"({WEIGHTS[0]}; model.safetensors of transformers), in it or in its sub-folder 'unet'"
        )
    config = read_json(network / "config.json")
    _refuse_config(config, network, latent)
    files = {"config": network / "config.json", **find_weights(network, WEIGHTS)}
    places = (folder / "scheduler", folder, folder.parent / "scheduler")
    scheduler = next((p / SCHEDULER for p in places if (p / SCHEDULER).is_file()), None)
    if scheduler is not None:
        files["scheduler"] = scheduler
    return DiffusersFolder(network, config, files, Card.read(folder / CARD))


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
    asked = [name for name in CONDITIONS if config.get(name) is not None]
    if config.get("addition_embed_type") not in (None, "text_time"):
        asked.append("addition_embed_type")
    if text and asked:
        raise InputError(
            f"the network in '{network}' asks for more than a text, an image's size and a timestep "
            f"({', '.join(asked)}): such networks are not supported"
        )
    if config.get("num_class_embeds") is not None or config.get("class_embed_type") is not None:
        raise InputError(
            f"the network in '{network}' is class-conditional, it needs a class for each image: "
            "expected one without classes"
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


def load_network(found: DiffusersFolder) -> Any:
    """Load the U-Net of a folder.

    Returns
    -------
    diffusers.UNet2DModel or UNet2DConditionModel
        In evaluation mode, on the CPU, float32.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for.
    """
    return load_model(found.config["_class_name"], found.network)


def load_model(name: str, folder: Path) -> Any:
    """Load a model of diffusers, by the name of its class: evaluation mode, CPU, float32.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for.
    """
    import diffusers
    import torch
    from diffusers.utils import logging

    files = find_weights(folder, WEIGHTS)
    index = folder / f"{files['weights'].name}.index.json"
    if index.is_file():  # diffusers would load the shards, whatever the single file holds
        raise InputError(
            f"'{folder}' holds its weights twice, as {files['weights'].name} and in the shards of "
            f"{index.name}: remove the one that is out of date"
        )
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        model, report = getattr(diffusers, name).from_pretrained(
            folder,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
            torch_dtype=torch.float32,
            use_safetensors=are_safetensors(files),
        )
    except Exception as error:  # diffusers, safetensors and torch each raise their own
        raise InputError(
            f"the weights in '{folder}' cannot be loaded: "
            f"{textwrap.shorten(str(error), 200)}. Was the download complete, and is the "
            "config.json theirs?"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    faults = {what: len(keys) for what, keys in report.items() if keys}
    if faults:
        counts = ", ".join(f"{what.replace('_', ' ')}: {n}" for what, n in faults.items())
        raise InputError(f"the weights in '{folder}' are not those of its config.json ({counts})")
    return model.eval().requires_grad_(False)
