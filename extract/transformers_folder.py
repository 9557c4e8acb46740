"""Networks in transformers' own form: a folder with ``config.json`` and weights."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from .trunk import IMAGENET_MEAN, IMAGENET_STD, Trunk
from .vit import DinoTrunk, MaeTrunk

__all__ = [
    "KIND_OF_MODEL",
    "WEIGHTS",
    "load_trunk",
    "loaded_quietly",
    "normalisation",
    "weights_of",
]

WEIGHTS = ("model.safetensors", "pytorch_model.bin")

KIND_OF_MODEL = {
    "vit_mae": "mae",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2",
    "dinov3_vit": "dinov3",
}
"""The backbone of each ``model_type`` that is known here."""

_SILENT = 50  # logging.CRITICAL

CLASSES = {
    "vit_mae": "ViTMAEModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}


def weights_of(folder: Path) -> Path:
    """Return the weights' file of a folder.

    Raises
    ------
    InputError
        If there is none.
    """
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise InputError(f"folder '{folder}' holds no weights: expected {' or '.join(WEIGHTS)}")
    return found


def load_trunk(folder: Path, model_type: str) -> tuple[Trunk, dict[str, Any]]:
    """Load a network, and return it with what of its configuration changes its activations.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for.
    """
    import transformers

    weights = weights_of(folder)
    model = loaded_quietly(
        getattr(transformers, CLASSES[model_type]),
        f"the weights in '{folder}'",
        folder,
        local_files_only=True,
        use_safetensors=weights.suffix == ".safetensors",
        **({"mask_ratio": 0.0} if model_type == "vit_mae" else {}),
    )
    config = model.config.to_diff_dict()
    ignored = ("architectures", "dtype", "torch_dtype", "transformers_version", "mask_ratio")
    plain = {key: config[key] for key in sorted(config) if key not in ignored and key[0] != "_"}
    plain = {"model_type": model_type, **_sizes(model.config), **plain}
    return (MaeTrunk(model) if model_type == "vit_mae" else DinoTrunk(model)), plain


def _sizes(config: Any) -> dict[str, Any]:
    """Return what a difference from the library's defaults may leave out."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
    return {name: getattr(config, name) for name in names}


def normalisation(processor: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of colours of a ``preprocessor_config.json``, or ImageNet's."""
    stated = [processor.get("image_mean"), processor.get("image_std")]
    if not all(isinstance(values, list) and len(values) == 3 for values in stated):
        return IMAGENET_MEAN, IMAGENET_STD
    mean, std = (tuple(float(value) for value in values or ()) for values in stated)
    return mean, std


def loaded_quietly(kind: Any, what: str, *where: Any, **how: Any) -> Any:
    """Load a model of transformers, without its words, and refuse it where weights are missing.

    Parameters
    ----------
    kind : class of transformers
    what : str
        For messages.
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
            *where, output_loading_info=True, dtype=torch.float32, **how
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise InputError(
            f"{what} cannot be loaded: {textwrap.shorten(str(error), 200)}. Was the download "
            "complete?"
        ) from error
    finally:
        words.set_verbosity(verbosity)
        if bars:
            words.enable_progress_bar()
    faults = {name: len(report.get(name) or ()) for name in ("missing_keys", "mismatched_keys")}
    if any(faults.values()):
        counts = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in faults.items() if n)
        raise InputError(f"{what} are not those of its configuration ({counts})")
    return model.eval().requires_grad_(False)
