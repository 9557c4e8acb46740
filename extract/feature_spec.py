"""The feature spec of what a backbone, or several, make of images."""

from ..store.errors import InputError
from ..store.read.joined_spec import joined_spec
from ..store.spec import FeatureSpec, Fit
from .concatenated import ConcatenatedBackbone
from .images.levels import FULL
from .images.network_input import PREPROCESSING
from .protocol import Backbone

__all__ = ["feature_spec"]


def feature_spec(backbone: Backbone, fit: Fit, overlap: int = 0, white: int = FULL) -> FeatureSpec:
    """Return the spec of the features that a backbone makes.

    Parameters
    ----------
    backbone : Backbone
    fit : {"squash", "pad", "tile"}
        How images are brought to the input's shape.
    overlap : int
        Of neighbouring tiles, pixels; counts only for "tile".
    white : int
        The value of images of 16 bits a channel that is white.

    Raises
    ------
    InputError
        If the features of several networks cannot be joined, see `joined_spec`, or images are to be
        cut or padded for a generator.
    """
    if isinstance(backbone, ConcatenatedBackbone):
        return joined_spec([feature_spec(b, fit, overlap, white) for b in backbone.backbones])
    described = backbone.describe()
    if "latent" in described and fit != "squash":
        raise InputError(
            f"a generator has features of the whole images that it drew: got --fit {fit}, "
            "expected squash, the default"
        )
    stated = {} if white == FULL else {"white": white}  # hashes of old specs stay as they are
    return FeatureSpec(
        backbone=described,
        source=backbone.source,
        row_shape=backbone.row_shape,
        fit=fit,
        overlap=overlap if fit == "tile" else 0,
        noise_seed=backbone.seed,
        layers=backbone.layers,
        preprocessing=PREPROCESSING | stated,
    )
