"""Which features an extraction makes: those of its options, or those that a model was fitted on."""

from dataclasses import replace
from pathlib import Path

import torch

from ...extract.backbone import Backbone, feature_spec
from ...extract.builtin import BUILTIN
from ...extract.levels import white_in
from ...extract.loading import NotTakenError
from ...extract.restore import restore_backbone
from ...store.errors import InputError
from ...store.spec import FeatureSpec
from ..masks.segmenter import load_model
from .config import BackboneOptions, ExtractConfig

__all__ = ["recipe_of"]


def recipe_of(config: ExtractConfig) -> tuple[Backbone, FeatureSpec]:
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
    backbone = _loaded(options, config.checkpoint or BUILTIN, config.yielding)
    overlap = config.overlap if config.overlap is not None else min(backbone.row_shape) // 4
    return backbone, feature_spec(backbone, config.fit, overlap)


def _loaded(options: BackboneOptions, checkpoint: str, yielding: frozenset[str]) -> Backbone:
    """Load a network; what yields is left out where the network does not take it."""
    try:
        return options.load(checkpoint)
    except NotTakenError as error:
        plain = {
            name: value for name, value in vars(BackboneOptions()).items() if name in error.names
        }
        told = {name: value for name, value in plain.items() if value != getattr(options, name)}
        if not told or not yielding.issuperset(told):
            raise
    return _loaded(replace(options, **told), checkpoint, yielding)


def _as_fitted(config: ExtractConfig, model: Path) -> tuple[Backbone, FeatureSpec]:
    """Make the very features of a model: its spec leaves nothing open but where things are."""
    told = replace(config.backbone, device=None) != BackboneOptions()
    if told or (config.fit, config.overlap) != ("squash", None):
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
