"""Which features an extraction makes: those of its options, or those that a model was fitted on."""

from dataclasses import replace
from pathlib import Path

import torch

from ...extract.concatenated import ConcatenatedBackbone
from ...extract.feature_spec import feature_spec
from ...extract.from_spec import restore_backbone
from ...extract.images.reading_spec import ReadingSpec
from ...extract.networks.options import BackboneOptions
from ...extract.protocol import Backbone
from ...extract.registry import is_own, refuse_unknown
from ...store.errors import InputError
from ...store.read.reader import FeatureStore
from ...store.spec import FeatureSpec
from ..features.sources import reading_of
from ..masks.ensemble_model import is_store
from ..masks.segmenter import load_model
from .config import ExtractConfig
from .networks import default_networks, load_networks, network_inputs

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
    refuse_unknown(options.backbone)
    own = options.backbone if is_own(options.backbone) else None
    named = config.checkpoints or (() if own is None else (own,))
    given = network_inputs(named, config.sizes)
    inputs = given or default_networks(config.sizes, config.fit)
    backbones = load_networks(inputs, options, config.optional)
    overlap = config.overlap if config.overlap is not None else min(backbones[0].row_shape) // 4
    several = len(backbones) > 1
    backbone: Backbone = ConcatenatedBackbone(backbones) if several else backbones[0]
    return backbone, feature_spec(backbone, config.fit, overlap)


def _as_fitted(config: ExtractConfig, model: Path) -> tuple[Backbone, FeatureSpec]:
    """Return what makes the features of a model, or of a store.

    Its spec decides all but the checkpoint's path.
    """
    options = replace(config.backbone, device=None, backbone=None)
    given = options != BackboneOptions() or config.sizes
    if given or (config.fit, config.overlap) != ("squash", None):
        raise InputError(
            f"'{model}' determines which features are extracted: leave out the "
            "options that determine them too"
        )
    if len(config.checkpoints) > 1:
        raise InputError(
            f"--checkpoint is given {len(config.checkpoints)} times, but with --layers-from it "
            "is the new location of one network: choose that with --part"
        )
    checkpoint = config.checkpoints[0] if config.checkpoints else None
    spec = _part(_spec_of(model), config.part, model)
    told = config.backbone
    backbone = restore_backbone(spec, checkpoint, told.device, told.backbone)
    return backbone, feature_spec(backbone, spec.fit, spec.overlap, reading_of(spec))


def _part(spec: FeatureSpec, part: int | None, model: Path) -> FeatureSpec:
    """Return the features to extract: all that a model was fitted on, or those of one network."""
    count = len(spec.parts)
    if part is None and (count == 0 or _fits_one_store(spec)):
        return spec
    if count == 0:
        raise InputError(f"the model '{model}' was fitted on a single network: leave out --part")
    if part is None or not 1 <= part <= count:
        came = "" if part is None else f", so there is no --part {part}"
        raise InputError(
            f"the model '{model}' was fitted on {count} stores{came}: choose the store to "
            f"extract with --part 1 to {count}"
        )
    return spec.parts[part - 1]


def _fits_one_store(spec: FeatureSpec) -> bool:
    """Whether one store can hold joined features: no handcrafted layer twice, one reading."""
    once = sum(len(part.layers) for part in spec.parts) == len(spec.layers)
    return once and len({ReadingSpec.of(part.preprocessing) for part in spec.parts}) == 1


def _spec_of(model: Path) -> FeatureSpec:
    if is_store(model):
        return FeatureStore.open(model).spec
    spec = load_model(model, torch.device("cpu")).spec_
    if spec is None:
        raise InputError(
            f"the model '{model}' does not record which features it was trained on "
            "(published ensembles never do): give --checkpoint, --steps and --blocks instead "
            "of --layers-from"
        )
    return spec
