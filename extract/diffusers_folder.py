"""Networks in diffusers' own form: a folder, or the id of one on the Hugging Face hub."""

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from .noise import NoiseSchedule

__all__ = ["Card", "DiffusersFolder", "download", "find_network", "is_hub_id", "load_network"]

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
SCHEDULER = "scheduler_config.json"
CARD = "dseg.json"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
# `_decoder` in unet.py knows these parts; others have skips or attention of their own.
BLOCKS = frozenset(
    f"{kind}{way}{place}"
    for way in ("Down", "Up")
    for kind, place in (("", "Block2D"), ("Attn", "Block2D"), ("Resnet", "sampleBlock2D"))
)


@dataclass(frozen=True)
class Card:
    """What a checkpoint recommends in its ``dseg.json``.

    Parameters
    ----------
    steps, blocks : tuple of int, optional
    size : (height, width), optional
        Of a row, pixels; in the file a side, or both.
    filters, pixels : bool
        Whether classical filters, and colour and place, belong to the features.
    """

    steps: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    size: tuple[int, int] | None = None
    filters: bool = False
    pixels: bool = False

    @classmethod
    def read(cls, path: Path) -> "Card":
        """Read a card; without a file, an empty one.

        Raises
        ------
        InputError
            If the file is not JSON, or a value is no list of whole numbers.
        """
        if not path.is_file():
            return cls()
        plain = _read_json(path)
        steps, blocks = (_whole_numbers(plain, key, path) for key in ("steps", "blocks"))
        extras = (plain.get(name) is True for name in ("filters", "pixels"))
        return cls(steps, blocks, _size(plain, path), *extras)


def _whole_numbers(plain: Mapping[str, Any], key: str, path: Path) -> tuple[int, ...] | None:
    value = plain.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not value or any(type(item) is not int for item in value):
        raise InputError(f"'{path}': {key!r} must be a list of whole numbers, got {value!r}")
    return tuple(value)


def _size(plain: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    value = plain.get("size")
    sides = [value, value] if type(value) is int else value
    if sides is None:
        return None
    if not isinstance(sides, list) or len(sides) != 2 or any(type(s) is not int for s in sides):
        raise InputError(
            f"'{path}': 'size' must be a side or [height, width] in pixels, got {value!r}"
        )
    return sides[0], sides[1]


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
        The files that count, by role: ``config``, ``weights``, and ``scheduler`` if there is one.
    card : Card
    """

    network: Path
    config: Mapping[str, Any]
    files: Mapping[str, Path]
    card: Card

    def schedule(self) -> NoiseSchedule | None:
        """Return the noise schedule that the folder states, if it states one."""
        path = self.files.get("scheduler")
        return None if path is None else NoiseSchedule.from_diffusers(_read_json(path))


def is_hub_id(checkpoint: str) -> bool:
    """Say whether a text has the form ``organisation/name``, perhaps with ``@revision``.

    Examples
    --------
    >>> is_hub_id("google/ddpm-cat-256"), is_hub_id("models/cat.pt"), is_hub_id("./cat")
    (True, False, False)
    """
    return HUB_ID.fullmatch(checkpoint) is not None and not checkpoint.endswith(
        (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
    )


def download(hub_id: str) -> tuple[Path, str]:
    """Return the local copy of a hub's network, downloaded if need be, and its exact id.

    Parameters
    ----------
    hub_id : str
        ``organisation/name`` or ``organisation/name@revision``.

    Returns
    -------
    folder : Path
    exact : str
        ``organisation/name@commit``.

    Raises
    ------
    InputError
        If it is neither in the local cache nor to be had.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = hub_id.partition("@")
    small = ["model_index.json", CARD, SCHEDULER, f"scheduler/{SCHEDULER}", "*config.json"]
    try:
        for weights in WEIGHTS:  # many have both forms: the second only where the first lacks
            wanted = [*small, weights, f"unet/{weights}"]
            folder = Path(
                snapshot_download(
                    name, revision=revision or None, allow_patterns=wanted, etag_timeout=5
                )
            )
            if any((place / weights).exists() for place in (folder, folder / "unet")):
                break
    except Exception as error:  # the hub's client lets errors of several HTTP libraries through
        raise InputError(
            f"checkpoint '{hub_id}' is no local file or folder, and could not be had from the "
            f"Hugging Face hub ({type(error).__name__}). Check the name and the network, give a "
            f"local folder, or download it first with: hf download {name}"
        ) from error
    return folder, f"{name}@{folder.name}"


def find_network(folder: Path) -> DiffusersFolder:
    """Find the U-Net in a folder: itself, its ``unet`` sub-folder, or a pipeline's part.

    Raises
    ------
    InputError
        If there is none, or it is not diffusers' ``UNet2DModel`` of known blocks.
    """
    network = next((f for f in (folder / "unet", folder) if (f / "config.json").is_file()), None)
    if network is None:
        raise InputError(
            f"folder '{folder}' holds no diffusers network: expected a config.json with "
            f"{WEIGHTS[0]}, in it or in its sub-folder 'unet'"
        )
    config = _read_json(network / "config.json")
    _refuse_config(config, network)
    weights = next((network / w for w in WEIGHTS if (network / w).is_file()), None)
    if weights is None:
        raise InputError(f"folder '{network}' holds no weights: expected {' or '.join(WEIGHTS)}")
    files = {"config": network / "config.json", "weights": weights}
    places = (folder / "scheduler", folder, folder.parent / "scheduler")
    scheduler = next((p / SCHEDULER for p in places if (p / SCHEDULER).is_file()), None)
    if scheduler is not None:
        files["scheduler"] = scheduler
    return DiffusersFolder(network, config, files, Card.read(folder / CARD))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(plain, dict):
        raise InputError(f"'{path}' must hold a JSON object, got {type(plain).__name__}")
    return plain


def _refuse_config(config: Mapping[str, Any], network: Path) -> None:
    kind = config.get("_class_name")
    if kind != "UNet2DModel":
        raise InputError(f"the network in '{network}' is a {kind}: expected a UNet2DModel")
    blocks = [*config.get("down_block_types", ()), *config.get("up_block_types", ())]
    unknown = sorted(set(blocks) - BLOCKS)
    if unknown:
        raise InputError(
            f"the network in '{network}' has blocks of type {', '.join(unknown)}: expected only "
            f"{', '.join(sorted(BLOCKS))}"
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
    if config.get("in_channels", 3) != 3:
        raise InputError(
            f"the network in '{network}' takes {config['in_channels']} channels: expected 3 (RGB)"
        )


def load_network(found: DiffusersFolder) -> Any:
    """Load the U-Net of a folder.

    Returns
    -------
    diffusers.UNet2DModel
        In evaluation mode, on the CPU, float32.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for.
    """
    import torch
    from diffusers import UNet2DModel
    from diffusers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        unet, report = UNet2DModel.from_pretrained(
            found.network,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
            torch_dtype=torch.float32,
            use_safetensors=found.files["weights"].suffix == ".safetensors",
        )
    except Exception as error:  # diffusers, safetensors and torch each raise their own
        raise InputError(
            f"the weights in '{found.network}' cannot be loaded: "
            f"{textwrap.shorten(str(error), 200)}. Was the download complete, and is the "
            "config.json theirs?"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    faults = {what: len(keys) for what, keys in report.items() if keys}
    if faults:
        counts = ", ".join(f"{what.replace('_', ' ')}: {n}" for what, n in faults.items())
        raise InputError(
            f"the weights in '{found.network}' are not those of its config.json ({counts})"
        )
    return unet.eval().requires_grad_(False)
