"""A folder of transformers: how its model is loaded, and how its input is normalised."""

import textwrap
from collections.abc import Collection, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from ...store.errors import InputError
from .card import read_json
from .network_size import bytes_of, read_config, refuse_larger
from .state_dict import digest
from .weight_files import are_safetensors, find_weights

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PROCESSOR",
    "UNUSED",
    "WEIGHTS",
    "architecture_of",
    "load_folder",
    "loaded_quietly",
    "normalisation",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

WEIGHTS = ("model.safetensors", "pytorch_model.bin")

PROCESSOR = "preprocessor_config.json"

_SILENT = 50  # logging.CRITICAL
UNUSED = frozenset({"architectures", "dtype", "torch_dtype", "transformers_version", "mask_ratio"})
"""Keys of a configuration that do not change activations."""
CHOSEN = frozenset({"id2label", "label2id", "out_features", "out_indices", "stage_names"})
"""More such keys, of classifiers and backbones."""


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


def architecture_of(config: Any, but: Collection[str] = UNUSED | CHOSEN) -> dict[str, Any]:
    """Return what of a configuration differs from the library's defaults, in plain JSON values.

    Of a configuration within it all is returned but what every configuration has.
    """
    plain = config.to_diff_dict()
    kept = {key: plain[key] for key in sorted(plain) if key not in but and key[0] != "_"}
    return {key: _own_keys(value) for key, value in kept.items()}


def _own_keys(value: Any) -> Any:
    if not isinstance(value, dict) or "model_type" not in value:  # no configuration
        return value
    from transformers import PretrainedConfig

    common = (PretrainedConfig().to_dict().keys() | CHOSEN) - {"model_type"}
    found = {k: v for k, v in sorted(value.items()) if k not in common and k[0] != "_"}
    return {key: _own_keys(v) for key, v in found.items()}


def load_folder(kind: Any, folder: Path, **how: Any) -> tuple[Any, str]:
    """Load the model of a folder.

    Parameters
    ----------
    kind : class of transformers
    folder : Path
    **how
        See `loaded_quietly`.

    Returns
    -------
    model
        Evaluation mode, CPU, float32.
    sha256 : str
        Of its configuration and weights.

    Raises
    ------
    InputError
        If there are no weights, or they cannot be read or are not those of the configuration.
    """
    files = find_weights(folder, WEIGHTS)
    how |= {"local_files_only": True, "use_safetensors": are_safetensors(files)}
    model = loaded_quietly(kind, f"the weights in '{folder}'", folder, **how)
    return model, digest({"config": folder / "config.json", **files})


def loaded_quietly(
    kind: Any, what: str, *where: Any, may_lack: str | None = None, **how: Any
) -> Any:
    """Load a model of transformers, without its words, and refuse it where weights are missing.

    Parameters
    ----------
    kind : class of transformers
    what : str
        The weights, for messages.
    *where, **how
        Of ``from_pretrained``.
    may_lack : str, optional
        Weights with this word between the dots of their name may be missing.

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
        _refuse_larger(kind, what, where[0], how)
        model, report = kind.from_pretrained(
            *where,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # counted below
            dtype=torch.float32,
            **how,
        )
    except InputError:
        raise
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise InputError(
            f"{what} cannot be loaded: {textwrap.shorten(str(error), 200)}. Was the download "
            "complete, and is the configuration theirs?"
        ) from error
    finally:
        words.set_verbosity(verbosity)
        if bars:
            words.enable_progress_bar()
    missing = [k for k in report.get("missing_keys") or () if may_lack not in k.split(".")]
    mismatched = report.get("mismatched_keys") or ()
    faults = {"missing_keys": len(missing), "mismatched_keys": len(mismatched)}
    if any(faults.values()):
        counts = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in faults.items() if n)
        raise InputError(f"{what} are not those of the configuration ({counts})")
    return model.eval().requires_grad_(False)


def _refuse_larger(kind: Any, what: str, where: Any, how: Mapping[str, Any]) -> None:
    """Refuse a network that is larger than its weights, of a folder or of a state dict."""
    if isinstance(where, Path):
        files = find_weights(where, WEIGHTS)
        read_config(where / "config.json")
        config, stored = kind.config_class.from_pretrained(where, **how), bytes_of(files)
    elif where is None:
        config, stored = how["config"], sum(one.numel() for one in how["state_dict"].values())
    else:  # a name of dseg's own in the hub cache
        return
    refuse_larger(lambda: kind(config), stored, what)
