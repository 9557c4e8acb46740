"""The backbone that a feature spec was made with, loaded again."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..store.errors import InputError, SpecMismatchError
from ..store.spec import FeatureSpec
from .backbone import open_backbone
from .checkpoints.weight_sets import AS_BEFORE
from .concatenated import ConcatenatedBackbone
from .feature_spec import feature_spec
from .images.reading_spec import ReadingSpec
from .networks.feedforward.own import KIND, factory_names
from .networks.options import BackboneOptions, CheckpointOptions
from .protocol import Backbone
from .subset import LayerSubset

__all__ = ["checkpoint_options_of", "factory_of", "restore_backbone"]

# By kind, what of an architecture the checkpoint does not show, under the names of the options.
_UNSEEN = {
    "guided-diffusion": ("head_channels", "heads", "attention_order", "class_number"),
    "monai": ("head_channels", "norm_groups", "class_number"),
    "lucidrains": (),
    "diffusers": ("class_number",),
}


def restore_backbone(
    spec: FeatureSpec,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    factory: str | None = None,
) -> Backbone:
    """Load the backbone of a feature spec.

    Parameters
    ----------
    spec : FeatureSpec
    checkpoint : path or str, optional
        Where the checkpoint is now; by default where it was.
    device : str or torch.device, optional
    factory : str, optional
        Of networks of one's own, see `feedforward.own`: the one that the caller trusts; several
        joined by commas.

    Raises
    ------
    InputError
        If there is no checkpoint any more, a network of one's own is not trusted, or a factory is
        given that the features do not need.
    SpecMismatchError
        If it is another one, or for another reason gives other features.
    """
    _refuse_factories(spec, factory)
    if spec.parts:
        return _restore_parts(spec, checkpoint, device)
    return _restored(spec, checkpoint, device, "Give its new location with --checkpoint")


def _refuse_factories(spec: FeatureSpec, trusted: str | None) -> None:
    """Refuse factories that a spec names, and neither the caller nor this installation does."""
    named = {factory_of(part) for part in spec.parts or (spec,)} - {None}
    told = set(trusted.split(",")) if trusted else set()
    unknown = sorted(map(str, named - told - set(factory_names())))
    if unknown:
        other = f", and --backbone {trusted} is another" if told else ""
        raise InputError(
            f"the features are of a network of one's own, '{', '.join(unknown)}', which is not "
            f"imported unasked{other}: name it with --backbone {','.join(sorted(map(str, named)))} "
            "if you trust it, or install it with an entry point"
        )
    if told - named:
        raise InputError(
            f"--backbone {trusted}: the features are not of such a network; leave it out"
        )


def factory_of(spec: FeatureSpec) -> str | None:
    """Return the factory of a spec's network of one's own; None of another network."""
    named = spec.backbone.get("architecture", {}).get("factory")
    return str(named) if spec.backbone.get("kind") == KIND else None


def _restored(
    spec: FeatureSpec,
    checkpoint: str | Path | None,
    device: str | torch.device | None,
    advice: str,
) -> Backbone:
    where = spec.source if checkpoint is None else checkpoint
    options = replace(_options_of(spec, device), fetch=checkpoint is not None)
    try:
        backbone = open_backbone(where, options)
    except InputError as error:
        if checkpoint is None and not Path(where).exists() and factory_of(spec) is None:
            raise InputError(
                f"the checkpoint that the features were made with was at '{where}': {error}. "
                + advice
            ) from error
        if checkpoint is not None:  # what it lacks was requested by the features, not by the call
            raise InputError(
                f"'{where}' cannot give the features that '{spec.source}' gave: {error}"
            ) from error
        raise
    remade = _remade(backbone, spec)
    if remade.hash != spec.hash and _given_schedule(spec, backbone):
        backbone = open_backbone(where, replace(options, **_given_schedule(spec, backbone)))
        remade = _remade(backbone, spec)
    if remade.layers != spec.layers and set(spec.layers) <= set(remade.layers):
        # not every block at every step was wanted
        backbone = LayerSubset(backbone, spec.layers)
        remade = _remade(backbone, spec)
    if remade.hash != spec.hash:
        raise SpecMismatchError(
            f"'{where}' is not the checkpoint that the features were made with: "
            + "; ".join(remade.differences(spec, ("this checkpoint", "the features")))
            + ". Give the right --checkpoint"
        )
    return backbone


def _remade(backbone: Backbone, spec: FeatureSpec) -> FeatureSpec:
    """Return the spec of what a backbone gives, read and cut as the features were."""
    return feature_spec(backbone, spec.fit, spec.overlap, ReadingSpec.of(spec.preprocessing))


def _restore_parts(
    spec: FeatureSpec, checkpoint: str | Path | None, device: str | torch.device | None
) -> Backbone:
    advice = (
        "Put it back, or make a store of each network (dseg extract --layers-from with --part and "
        "--checkpoint) and give those"
    )
    if checkpoint is not None:
        raise InputError(
            f"these are features of {len(spec.parts)} networks ("
            + ", ".join(f"'{part.source}'" for part in spec.parts)
            + f"), so one --checkpoint cannot be the new location of each. {advice}"
        )
    return ConcatenatedBackbone([_restored(part, None, device, advice) for part in spec.parts])


def _options_of(spec: FeatureSpec, device: str | torch.device | None) -> BackboneOptions:
    """Return the options that a spec's features were made with."""
    network = spec.backbone
    read = checkpoint_options_of(spec)
    return BackboneOptions(
        **{**vars(read), "weights": AS_BEFORE if read.weights is None else read.weights},
        backbone=factory_of(spec),
        steps=spec.steps or None,
        blocks=spec.blocks or None,
        size=spec.row_shape,
        inputs=network.get("record") == "inputs",
        filters=spec.filters,
        pixels=spec.pixels,
        precision=network.get("precision", "float32"),
        seed=spec.noise_seed,
        draws=network.get("draws", 1),
        flip=network.get("flip", False),
        device=device,
    )


def checkpoint_options_of(spec: FeatureSpec) -> CheckpointOptions:
    """Return what the checkpoint of a spec does not show itself.

    Most folders state all. Weights are named only where the spec names them.
    """
    network = spec.backbone
    kind, options = network.get("kind"), CheckpointOptions(weights=network.get("weights"))
    if kind == "latent-diffusion":
        return replace(options, prompt=network.get("prompt"))
    # a MAE of a file; a transformers folder, with a model type, states its heads
    if kind == "mae" and "model_type" not in network["architecture"]:
        return replace(options, heads=network["architecture"]["num_attention_heads"])
    if kind in _UNSEEN:
        architecture = network["architecture"]
        unseen = {key: architecture.get(key) for key in _UNSEEN[kind]}
        named = network["schedule"]["name"] in ("linear", "cosine") and kind != "diffusers"
        schedule = _schedule_of(network) if named else {}
        return replace(options, **unseen, **schedule)
    return options


def _schedule_of(network: Mapping[str, Any]) -> dict[str, Any]:
    schedule = network["schedule"]
    return {"schedule": schedule["name"], "diffusion_steps": schedule["timesteps"]}


def _given_schedule(spec: FeatureSpec, backbone: Backbone) -> dict[str, Any]:
    """Return the schedule that was given for a diffusers folder which states none.

    The very same folder then has another schedule when none is given.
    """
    was, found = spec.backbone, backbone.describe()
    if was.get("sha256") != found["sha256"] or was.get("schedule") == found.get("schedule"):
        return {}
    return _schedule_of(was)
