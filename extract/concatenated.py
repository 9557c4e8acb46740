"""Several backbones, their features concatenated."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..store.read.joined_spec import joined_order, joined_spec
from ..store.spec import FeatureSpec, Fit
from .backbone import Backbone, feature_spec
from .images.levels import FULL

__all__ = ["ConcatenatedBackbone", "concatenated", "spec_of"]


class ConcatenatedBackbone:
    """Runs several networks over the same images, each on input of its own shape.

    Parameters
    ----------
    backbones : sequence of Backbone
    spec : FeatureSpec
        The joined features, with a part for each backbone.
    """

    def __init__(self, backbones: Sequence[Backbone], spec: FeatureSpec) -> None:
        self.backbones, self.layers = tuple(backbones), spec.layers
        self.row_shape, self.source, self.seed = spec.row_shape, spec.source, spec.noise_seed
        self._order = joined_order(spec.parts)

    @property
    def weights(self) -> str | None:
        """Which of several sets of weights each has, in words."""
        words = [backbone.weights for backbone in self.backbones if backbone.weights]
        return "; ".join(words) or None

    @property
    def device(self) -> torch.device:
        """Where the first runs."""
        return self.backbones[0].device

    def describe(self) -> dict[str, Any]:
        """Return that it is several; the spec's parts describe each."""
        return {"kind": "joined"}

    def __call__(self, *rows: Any) -> list[Tensor]:
        """Return the activations (B, C, h, w), float32.

        Parameters
        ----------
        *rows : tensors or arrays of shape (B, 3, H, W), float32, in [-1, 1]
            The same images as each backbone in turn sees them; or one for all.
        """
        each = rows if len(rows) > 1 else rows * len(self.backbones)
        maps = [backbone(seen) for backbone, seen in zip(self.backbones, each, strict=True)]
        return [maps[number][at] for number, at in self._order]


def concatenated(backbones: Sequence[Backbone], fit: Fit, overlap: int) -> Backbone:
    """Return one backbone of several, or the only one.

    Raises
    ------
    InputError
        If their features cannot be joined, see `joined_spec`.
    """
    if len(backbones) == 1:
        return backbones[0]
    parts = [feature_spec(backbone, fit, overlap) for backbone in backbones]
    return ConcatenatedBackbone(backbones, joined_spec(parts))


def spec_of(backbone: Backbone, fit: Fit, overlap: int = 0, white: int = FULL) -> FeatureSpec:
    """Return the spec of the features that a backbone, or several, make; see `feature_spec`."""
    if not isinstance(backbone, ConcatenatedBackbone):
        return feature_spec(backbone, fit, overlap, white)
    return joined_spec([feature_spec(one, fit, overlap, white) for one in backbone.backbones])
