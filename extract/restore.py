"""The backbone that a feature spec was made with, found again."""

from pathlib import Path
from typing import Any

import torch

from ..store.errors import InputError, SpecMismatchError
from ..store.spec import FeatureSpec
from .backbone import Backbone, feature_spec, load_backbone
from .chosen import ChosenLayers
from .joined import JoinedBackbone
from .levels import white_in
from .weight_sets import AS_BEFORE

__all__ = ["hints_of", "restore_backbone"]


def restore_backbone(
    spec: FeatureSpec,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
) -> Backbone:
    """Load the backbone of a feature spec.

    Parameters
    ----------
    spec : FeatureSpec
    checkpoint : path or str, optional
        Where the checkpoint is now; by default where it was.
    device : str or torch.device, optional

    Raises
    ------
    InputError
        If there is no checkpoint any more.
    SpecMismatchError
        If it is another one, or for another reason gives other features.
    """
    if spec.parts:
        return _restore_parts(spec, checkpoint, device)
    return _restored(spec, checkpoint, device, "Say where it is now with --checkpoint")


def _restored(
    spec: FeatureSpec,
    checkpoint: str | Path | None,
    device: str | torch.device | None,
    advice: str,
) -> Backbone:
    where = spec.source if checkpoint is None else checkpoint
    try:
        backbone = _load(spec, where, hints_of(spec), device)
    except InputError as error:
        if checkpoint is None and not Path(where).exists():
            raise InputError(
                f"the checkpoint that the features were made with was at '{where}': {error}. "
                + advice
            ) from error
        if checkpoint is not None:  # what it lacks was asked for by the features, not by the call
            raise InputError(
                f"'{where}' cannot give the features that '{spec.source}' gave: {error}"
            ) from error
        raise
    remade = _remade(backbone, spec)
    if remade.hash != spec.hash and _told_schedule(spec, backbone):
        told = {**hints_of(spec), **_told_schedule(spec, backbone)}
        backbone = _load(spec, where, told, device)
        remade = _remade(backbone, spec)
    if remade.layers != spec.layers and set(spec.layers) <= set(remade.layers):
        # not every block at every step was wanted
        backbone = ChosenLayers(backbone, spec.layers)
        remade = _remade(backbone, spec)
    if remade.hash != spec.hash:
        raise SpecMismatchError(
            f"'{where}' is not the checkpoint that the features were made with: "
            + "; ".join(remade.differences(spec))
            + " ('here' is this checkpoint, 'there' the features). Give the right --checkpoint"
        )
    return backbone


def _remade(backbone: Backbone, spec: FeatureSpec) -> FeatureSpec:
    """Return the recipe of what a backbone gives where all that it does not decide is as it was."""
    return feature_spec(backbone, spec.fit, spec.overlap, white_in(spec.preprocessing))


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
            + f"), so one --checkpoint cannot say where each is now. {advice}"
        )
    return JoinedBackbone([_restored(part, None, device, advice) for part in spec.parts], spec)


def _load(
    spec: FeatureSpec,
    where: str | Path,
    hints: dict[str, Any],
    device: str | torch.device | None,
) -> Backbone:
    return load_backbone(
        where,
        spec.steps or None,
        spec.blocks or None,
        size=spec.row_shape,
        inputs=spec.backbone.get("record") == "inputs",
        filters=spec.filters,
        pixels=spec.pixels,
        precision=spec.backbone.get("precision", "float32"),
        seed=spec.noise_seed,
        draws=spec.backbone.get("draws", 1),
        flip=spec.backbone.get("flip", False),
        device=device,
        **{"weights": AS_BEFORE, **hints},
    )


def hints_of(spec: FeatureSpec) -> dict[str, Any]:
    """Return what must be told of a checkpoint, by argument of `load_backbone`.

    Most folders state their own. Weights are named only where the spec names them.
    """
    kind, weights = spec.backbone.get("kind"), spec.backbone.get("weights")
    hints = {} if weights is None else {"weights": weights}
    if kind == "latent-diffusion":
        hints["prompt"] = spec.backbone.get("prompt")
    if kind == "mae":
        hints |= _mae_heads(spec)
    if kind != "guided-diffusion":
        return hints
    architecture, schedule = spec.backbone["architecture"], spec.backbone["schedule"]
    hints |= {key: architecture[key] for key in ("head_channels", "heads", "attention_order")}
    return {**hints, "schedule": schedule["name"], "diffusion_steps": schedule["timesteps"]}


def _mae_heads(spec: FeatureSpec) -> dict[str, Any]:
    """Return the heads of a MAE of a file; a transformers folder, with a model type, says them."""
    architecture = spec.backbone["architecture"]
    return {} if "model_type" in architecture else {"heads": architecture["num_attention_heads"]}


def _told_schedule(spec: FeatureSpec, backbone: Backbone) -> dict[str, Any]:
    """Return the schedule that was told of a diffusers folder which states none.

    The very same folder then gives another schedule when nothing is told.
    """
    was, found = spec.backbone, backbone.describe()
    if was.get("sha256") != found["sha256"] or was.get("schedule") == found.get("schedule"):
        return {}
    schedule = was["schedule"]
    return {"schedule": schedule["name"], "diffusion_steps": schedule["timesteps"]}
