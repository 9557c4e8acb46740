"""dseg: masks for all your images from a few labelled ones, by a diffusion model's activations.

The names below are the public interface; each loads on first use, so that importing ``dseg``
(and ``dseg --help``) costs nothing.

>>> import dseg
>>> "FeatureStore" in dir(dseg)
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .classify.ensemble.ensemble import PixelEnsemble
    from .classify.ensemble.uncertainty import image_uncertainty
    from .classify.evaluation.metrics import mean_iou
    from .extract.backbone import load_backbone
    from .store.errors import DsegError
    from .store.read.reader import FeatureStore

__all__ = [
    "DsegError",
    "FeatureStore",
    "PixelEnsemble",
    "__version__",
    "image_uncertainty",
    "load_backbone",
    "mean_iou",
]

__version__ = "0.1.0"

_HOMES = {
    "DsegError": ".store.errors",
    "FeatureStore": ".store.read.reader",
    "PixelEnsemble": ".classify.ensemble.ensemble",
    "image_uncertainty": ".classify.ensemble.uncertainty",
    "load_backbone": ".extract.backbone",
    "mean_iou": ".classify.evaluation.metrics",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dseg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
