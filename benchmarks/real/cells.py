"""The cells of the benchmark: one set, one method, one seed; from images to scores.

Each function runs in a process of its own and imports what its method needs, so that no method's
peak holds another's libraries. All return plain JSON values.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .layout import DataSet
from .measure import Meter, machine
from .options import NetworkOptions, Pretraining, Size
from .scoring import score

__all__ = ["colour_cell", "describe_cell", "forest_cell", "network_cell", "pretraining_cell"]


def forest_cell(data: DataSet, folder: Path, seed: int, position: bool) -> dict[str, Any]:
    """Random forest on multiscale features."""
    from .forest import segment_by_forest

    meter = Meter()
    segment_by_forest(data, folder / "masks", meter, position=position, seed=seed)
    return _scored(data, folder, meter, "cpu")


def colour_cell(
    data: DataSet,
    folder: Path,
    seed: int,
    size: Size,
    max_steps: int,
    device: str | None,
    filters: bool = False,
) -> dict[str, Any]:
    """The ensemble on colour and position, and on filters if wanted."""
    from dseg.extract.networks.devices import choose_device

    from .colour import segment_by_colour

    meter, on = Meter(), choose_device(device)
    segment_by_colour(
        data,
        folder / "masks",
        meter,
        size=size,
        max_steps=max_steps,
        seed=seed,
        device=on,
        filters=filters,
    )
    return _scored(data, folder, meter, str(on))


def network_cell(
    data: DataSet,
    folder: Path,
    seed: int,
    store: Path,
    options: NetworkOptions,
    checkpoint: str,
    untrained: bool,
) -> dict[str, Any]:
    """The ensemble on a network's activations.

    Parameters
    ----------
    data : DataSet
    folder : path
        Of this cell alone.
    seed : int
        Of the ensemble and, of an untrained network, of its weights.
    store : path
        Of the features; of a checkpoint one for all seeds.
    options : NetworkOptions
    checkpoint : str
    untrained : bool
        Take the checkpoint's architecture with random weights instead.
    """
    from dseg.extract.networks.devices import choose_device

    from .networks import make_untrained, seen, segment_by_network

    meter, on = Meter(), choose_device(options.device)
    pretrained_on = 0 if untrained else seen(data, checkpoint)
    if untrained:
        checkpoint = make_untrained(checkpoint, options, seed, folder / "untrained")
        options = replace(options, head_channels=None)  # the new folder states it
    segment_by_network(data, store, folder, meter, options, checkpoint=checkpoint, seed=seed)
    found = _scored(data, folder, meter, str(on))
    found["notes"]["pretrained_on"] = pretrained_on
    return found


def pretraining_cell(
    data: DataSet, folder: Path, how: Pretraining, options: NetworkOptions
) -> dict[str, Any]:
    """A network pretrained on the set's images, and what it is."""
    from dseg.extract.networks.devices import choose_device

    from .networks import describe, pretrain_network

    meter, on = Meter(), choose_device(options.device)
    with meter.stage("pretrain"):
        summary = pretrain_network(data, folder, how, options)
    # of a run that was interrupted, the sum over its sessions
    meter.seconds["pretrain"] = round(max(meter.seconds["pretrain"], summary.seconds), 2)
    facts = {
        "images": summary.images,
        "held_out": summary.held_out,
        "steps": summary.steps,
        "loss": summary.loss,
        "held_out_loss": summary.held_out_loss,
        "network": asdict(describe(str(folder), options)),
    }
    return {"scores": facts, **meter.figures(), "notes": {"machine": machine(str(on))}}


def describe_cell(checkpoint: str, options: NetworkOptions) -> dict[str, Any]:
    """What a checkpoint is: the fields of `options.Network`."""
    from .networks import describe

    return asdict(describe(checkpoint, options))


def _scored(data: DataSet, folder: Path, meter: Meter, device: str) -> dict[str, Any]:
    with meter.stage("score"):
        scores = score(folder / "masks", data)
    return {"scores": scores, **meter.figures(), "notes": {"machine": machine(device)}}
