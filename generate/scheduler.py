"""How a network's images are drawn: what its output is, its variance, whether values are clipped.

Read from its scheduler's configuration, under the names of diffusers, whose defaults stand for what
it leaves open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..extract.networks.diffusion.unet import LoadedUNet
from ..store.errors import InputError
from .steps import PREDICTIONS, Variance

__all__ = ["Drawing", "drawing_of"]

_VARIANCES: Mapping[str, Variance] = {
    "fixed_small": "fixed_small",
    "fixed_small_log": "fixed_small",
    "fixed_large": "fixed_large",
    "fixed_large_log": "fixed_large",
}


@dataclass(frozen=True)
class Drawing:
    """What a network's output is, and what a sampler makes of it.

    Parameters
    ----------
    channels : int
        Of an image: 3, or 1 of grey ones.
    prediction : str
        Of `steps.PREDICTIONS`.
    variance : {"learned_range", "fixed_small", "fixed_large"}
        Of ancestral steps.
    limit : float, optional
        Predicted images are clipped to [-limit, limit]; None: not at all.
    """

    channels: int
    prediction: str
    variance: Variance
    limit: float | None


def drawing_of(
    loaded: LoadedUNet, prediction: str | None = None, clip: bool | None = None
) -> Drawing:
    """Return how a network's images are drawn.

    Parameters
    ----------
    loaded : LoadedUNet
    prediction : str, optional
        What it predicts; by default what its checkpoint says.
    clip : bool, optional
        Whether predicted images are clipped; by default as its checkpoint says.

    Raises
    ------
    InputError
        If it cannot draw images, or in a way that is not supported.
    """
    where, stated = f"'{loaded.source}'", loaded.scheduler
    if loaded.latents is not None:
        raise InputError(
            f"checkpoint {where} cannot draw images: it is of latents, which is not supported"
        )
    if loaded.architecture.get("self_condition"):
        raise InputError(
            f"checkpoint {where} takes its own estimate of the image beside x_t "
            "(self-conditioning): drawing with it is not supported"
        )
    if stated.get("thresholding"):
        raise InputError(
            f"the scheduler of {where} clips images by a quantile of their values (thresholding), "
            "which is not supported: set it to false in scheduler_config.json"
        )
    channels, gives = loaded.channels, _output_channels(loaded)
    if channels not in (1, 3) or gives not in (channels, 2 * channels):
        raise InputError(
            f"checkpoint {where} cannot draw images: it takes {channels} channels and gives "
            f"{gives}; expected 3 (RGB) or 1 (grey), and as many or, with a variance, twice as many"
        )
    predicts = prediction or loaded.prediction
    if predicts not in PREDICTIONS:
        raise InputError(f"{where} predicts '{predicts}': expected one of {', '.join(PREDICTIONS)}")
    clips = bool(stated.get("clip_sample", True)) if clip is None else clip
    limit = _number(stated.get("clip_sample_range", 1.0), where) if clips else None
    variance = _variance(stated.get("variance_type", "fixed_small"), gives > channels, where)
    return Drawing(channels, predicts, variance, limit)


def _output_channels(loaded: LoadedUNet) -> int:
    """Return the channels of the network's output, by its last convolution."""
    weights = [one for one in loaded.last_layers().parameters() if one.ndim == 4]
    return len(weights[-1])


def _variance(stated: Any, learned: bool, where: str) -> Variance:
    if learned and stated == "learned":
        raise InputError(
            f"the scheduler of {where} has learned variances that are not between two bounds "
            "(variance_type learned), which is not supported: expected learned_range"
        )
    if learned:
        return "learned_range"
    if stated not in _VARIANCES:
        raise InputError(
            f"the scheduler of {where} has the variance_type {stated!r}, but its network gives no "
            f"variance: expected one of {', '.join(_VARIANCES)}"
        )
    return _VARIANCES[stated]


def _number(stated: Any, where: str) -> float:
    if not isinstance(stated, int | float) or not stated > 0:
        raise InputError(
            f"the scheduler of {where} has a clip_sample_range of {stated!r}: expected a number "
            "above 0"
        )
    return float(stated)
