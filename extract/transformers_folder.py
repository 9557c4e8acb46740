"""Networks in transformers' own form: a folder with ``config.json`` and weights."""

import textwrap
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from .card import read_json
from .convnext import ConvNextTrunk
from .trunk import IMAGENET_MEAN, IMAGENET_STD, Trunk
from .vit import DinoTrunk, MaeTrunk
from .weights import are_safetensors, find_weights

__all__ = [
    "KIND_OF_MODEL",
    "PROCESSOR",
    "WEIGHTS",
    "load_trunk",
    "loaded_quietly",
    "normalisation",
]

WEIGHTS = ("model.safetensors", "pytorch_model.bin")

KIND_OF_MODEL = {
    "vit_mae": "mae",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2",
    "dinov3_vit": "dinov3",
    "dinov3_convnext": "dinov3",
}
"""The backbone of each ``model_type`` that is known here."""

PROCESSOR = "preprocessor_config.json"

_SILENT = 50  # logging.CRITICAL

_CLASSES: dict[str, tuple[str, Callable[[Any], Trunk]]] = {
    "vit_mae": ("ViTMAEModel", MaeTrunk),
    "dinov2": ("Dinov2Model", DinoTrunk),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", DinoTrunk),
    "dinov3_vit": ("DINOv3ViTModel", DinoTrunk),
    "dinov3_convnext": ("DINOv3ConvNextModel", ConvNextTrunk),
}
# What a difference from the library's defaults may leave out.
_SIZES = (
    "hidden_size",
    "hidden_sizes",
    "num_hidden_layers",
    "depths",
    "num_attention_heads",
    "image_size",
    "patch_size",
)


def load_trunk(folder: Path, model_type: str) -> tuple[Trunk, dict[str, Any]]:
    """Load a network, and return it with what of its configuration changes its activations.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for.
    """
    import transformers

    name, trunk = _CLASSES[model_type]
    model = loaded_quietly(
        getattr(transformers, name),
        f"the weights in '{folder}'",
        folder,
        local_files_only=True,
        use_safetensors=are_safetensors(find_weights(folder, WEIGHTS)),
        **({"mask_ratio": 0.0} if model_type == "vit_mae" else {}),
    )
    _refuse_sizes(model.config, folder)
    config = model.config.to_diff_dict()
    ignored = ("architectures", "dtype", "torch_dtype", "transformers_version", "mask_ratio")
    plain = {key: config[key] for key in sorted(config) if key not in ignored and key[0] != "_"}
    sizes = {name: getattr(model.config, name) for name in _SIZES if hasattr(model.config, name)}
    return trunk(model), {"model_type": model_type, **sizes, **plain}


def _refuse_sizes(config: Any, folder: Path) -> None:
    """Refuse what the library lets pass and cannot compute, or a trunk cannot lay out."""
    sides = config.image_size
    sides = list(sides) if isinstance(sides, list | tuple) else [sides, sides]
    if config.model_type == "dinov3_convnext":
        if len(sides) != 2 or len(config.depths) != len(config.hidden_sizes):
            raise InputError(
                f"the network in '{folder}' has stages of {config.depths} blocks and of "
                f"{config.hidden_sizes} channels, for images of {config.image_size}: expected as "
                "many of each, and one or two sides of an image"
            )
        return
    if not isinstance(config.patch_size, int) or len(sides) != 2:
        raise InputError(
            f"the network in '{folder}' has patches of {config.patch_size} and images of "
            f"{config.image_size}: expected one side of a patch, and one or two of an image"
        )
    if config.hidden_size % config.num_attention_heads:
        raise InputError(
            f"the network in '{folder}' has {config.hidden_size} channels, which cannot be shared "
            f"by {config.num_attention_heads} heads: is its config.json damaged?"
        )


def normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of colours of a folder's processor; without one, ImageNet's.

    Raises
    ------
    InputError
        If it states them in another form.
    """
    path = folder / PROCESSOR
    processor = read_json(path) if path.is_file() else {}
    if processor.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    mean = _colours(processor.get("image_mean"), IMAGENET_MEAN)
    std = _colours(processor.get("image_std"), IMAGENET_STD)
    if mean is None or std is None or min(std) <= 0:
        raise InputError(
            f"'{path}' states image_mean {processor.get('image_mean')} and image_std "
            f"{processor.get('image_std')}: expected a number, or three, each; of image_std above 0"
        )
    return mean, std


def _colours(stated: Any, default: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return a value for each colour; None if what is stated is no such."""
    if stated is None:
        return default
    values = stated if isinstance(stated, list) else [stated] * 3
    if len(values) != 3 or not all(type(v) in (int, float) and isfinite(v) for v in values):
        return None
    return tuple(map(float, values))


def loaded_quietly(kind: Any, what: str, *where: Any, **how: Any) -> Any:
    """Load a model of transformers, without its words, and refuse it where weights are missing.

    Parameters
    ----------
    kind : class of transformers
    what : str
        The weights, for messages.
    *where, **how
        Of ``from_pretrained``.

    Returns
    -------
    model
        Evaluation mode, CPU, float32.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those of the configuration.
    """
    import torch
    from transformers.utils import logging

    words: Any = logging  # which states no types
    verbosity, bars = words.get_verbosity(), words.is_progress_bar_enabled()
    words.set_verbosity(_SILENT)
    words.disable_progress_bar()
    try:
        model, report = kind.from_pretrained(
            *where,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # counted below
            dtype=torch.float32,
            **how,
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise InputError(
            f"{what} cannot be loaded: {textwrap.shorten(str(error), 200)}. Was the download "
            "complete, and is the configuration theirs?"
        ) from error
    finally:
        words.set_verbosity(verbosity)
        if bars:
            words.enable_progress_bar()
    faults = {name: len(report.get(name) or ()) for name in ("missing_keys", "mismatched_keys")}
    if any(faults.values()):
        counts = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in faults.items() if n)
        raise InputError(f"{what} are not those of the configuration ({counts})")
    return model.eval().requires_grad_(False)
