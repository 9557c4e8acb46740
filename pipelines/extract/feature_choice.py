"""Which features an extraction makes: those of its options, or those that a model was fitted on."""

from dataclasses import replace
from pathlib import Path

import torch

from ...extract.backbone import Backbone, feature_spec, open_backbone
from ...extract.checkpoints.builtin import BUILTIN
from ...extract.from_spec import restore_backbone
from ...extract.images.levels import white_in
from ...extract.networks.options import BackboneOptions, UnsupportedOptionError
from ...store.errors import InputError
from ...store.spec import FeatureSpec
from ..masks.segmenter import load_model
from .config import ExtractConfig

__all__ = ["features_of"]


def features_of(config: ExtractConfig) -> tuple[Backbone, FeatureSpec]:
    """Return the network of an extraction, and the spec of the features.

    Raises
    ------
    DsegError
        If the checkpoint cannot be used, or the options contradict each other.
    """
    if config.layers_from is not None:
        return _as_fitted(config, config.layers_from)
    if config.part is not None:
        raise InputError("--part selects one network of a model: give --layers-from too")
    options = config.backbone
    if config.fit == "tile":
        if options.pixels:
            raise InputError(
                "--pixels cannot be combined with --tile: the position within a tile is not "
                "the position in the image"
            )
        options = replace(options, pixels=False)
    backbone = _loaded(options, config.checkpoint or BUILTIN, config.optional)
    overlap = config.overlap if config.overlap is not None else min(backbone.row_shape) // 4
    return backbone, feature_spec(backbone, config.fit, overlap)


def _loaded(options: BackboneOptions, checkpoint: str, optional: frozenset[str]) -> Backbone:
    """Load a network; optional settings that it does not support are left out."""
    try:
        return open_backbone(checkpoint, options)
    except UnsupportedOptionError as error:
        if not optional.issuperset(error.names):
            raise
        left_out = {name: getattr(BackboneOptions(), name) for name in error.names}
    return _loaded(replace(options, **left_out), checkpoint, optional)


def _as_fitted(config: ExtractConfig, model: Path) -> tuple[Backbone, FeatureSpec]:
    """Return what makes the features of a model: its spec decides all but the checkpoint's path."""
    given = replace(config.backbone, device=None) != BackboneOptions()
    if given or (config.fit, config.overlap) != ("squash", None):
        raise InputError(
            f"the model '{model}' determines which features are extracted: leave out the "
            "options that determine them too"
        )
    spec = _part(_spec_of(model), config.part, model)
    backbone = restore_backbone(spec, config.checkpoint, config.backbone.device)
    white = white_in(spec.preprocessing)
    return backbone, feature_spec(backbone, spec.fit, spec.overlap, white)


def _part(spec: FeatureSpec, part: int | None, model: Path) -> FeatureSpec:
    """Return the features of one store of those that a model was fitted on."""
    count = len(spec.parts)
    if count == 0 and part is None:
        return spec
    if count == 0:
        raise InputError(f"the model '{model}' was fitted on a single store: leave out --part")
    if part is None or not 1 <= part <= count:
        came = "" if part is None else f", so there is no --part {part}"
        raise InputError(
            f"the model '{model}' was fitted on {count} stores{came}: choose the store to "
            f"extract with --part 1 to {count}"
        )
    return spec.parts[part - 1]


def _spec_of(model: Path) -> FeatureSpec:
    spec = load_model(model, torch.device("cpu")).spec_
    if spec is None:
        raise InputError(
            f"the model '{model}' does not record which features it was trained on "
            "(published ensembles never do): give --checkpoint, --steps and --blocks instead "
            "of --layers-from"
        )
    return spec
