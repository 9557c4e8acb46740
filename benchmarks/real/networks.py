"""dseg's own commands, called as functions; and a network that was never trained."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from dseg.extract.backbone import open_backbone
from dseg.extract.checkpoints.builtin import builtin_path, is_builtin
from dseg.extract.feature_spec import feature_spec
from dseg.extract.images.reading import sha256_of
from dseg.extract.networks.options import BackboneOptions, CheckpointOptions
from dseg.extract.registry import load_unet
from dseg.pipelines.console.progress import Console, Progress
from dseg.pipelines.extract.config import Estimate, ExtractConfig
from dseg.pipelines.extract.feature_choice import features_of
from dseg.pipelines.extract.networks import network_inputs
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.inputs.image_list import named
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.pretrain.config import PretrainConfig, PretrainEstimate, PretrainSummary
from dseg.pipelines.pretrain.run import pretrain
from dseg.pretrain.data.images import Augmentation
from dseg.pretrain.network.folder import scheduler_of, write_network
from dseg.store.errors import DsegError, InputError

from .layout import DataSet, write_list
from .measure import Meter
from .options import Network, NetworkOptions, Pretraining

__all__ = ["describe", "make_untrained", "pretrain_network", "seen", "segment_by_network"]


def _load(checkpoint: str, options: NetworkOptions) -> Any:
    return open_backbone(checkpoint, _backbone(options))


def _backbone(options: NetworkOptions) -> BackboneOptions:
    return BackboneOptions(
        size=options.size, head_channels=options.head_channels, device=options.device
    )


def _progress(options: NetworkOptions) -> Progress:
    return Console() if options.verbose else Progress()


def pretrain_network(
    data: DataSet, folder: Path, how: Pretraining, options: NetworkOptions
) -> PretrainSummary:
    """Pretrain on all images but the test images; go on where an earlier run stopped.

    Parameters
    ----------
    data : DataSet
    folder : path
        Of the checkpoint; the list of images is written next to it.
    how : Pretraining
    options : NetworkOptions
        Its device and verbosity count.
    """
    stems = write_list(folder.with_suffix(".txt"), data.pretraining)
    config = PretrainConfig(
        images=data.images,
        out=folder,
        size=how.size,
        init=how.init,
        init_options=CheckpointOptions(head_channels=options.head_channels if how.init else None),
        seconds=how.seconds,
        augmentation=Augmentation(crop=how.least_cut_out(options.size)),
        list_file=stems,
        device=options.device,
    )
    summary = pretrain(config, _progress(options))
    if isinstance(summary, PretrainEstimate) or summary.failed:
        raise DsegError(f"not all images of '{data.name}' could be pretrained on: {summary}")
    return summary


def checkpoints_of(checkpoint: str) -> tuple[str, ...]:
    """Return the checkpoints of a row: several, joined by "+", give their features together.

    "default" is what `dseg extract` uses where none is named.
    """
    return () if checkpoint == "default" else tuple(checkpoint.split("+"))


def describe(checkpoint: str, options: NetworkOptions) -> Network:
    """Load a checkpoint, or several, and tell what it is."""
    extraction = ExtractConfig(
        Path(), Path(), checkpoints_of(checkpoint), backbone=_backbone(options)
    )
    _, spec = features_of(extraction)
    sums, facts = [], list[object]()
    for part in spec.parts or (spec,):
        network = dict(part.backbone)
        sums.append(network.pop("sha256"))
        layers = [(layer.timestep, layer.block) for layer in part.layers]
        facts += [network, layers, part.row_shape]
    words = json.dumps(facts, sort_keys=True)
    return Network(
        checkpoint=checkpoint,
        sha256=",".join(sums),
        architecture=hashlib.sha256(words.encode()).hexdigest()[:16],
        size=spec.row_shape,
        dims=spec.dims,
    )


def seen(data: DataSet, checkpoint: str) -> int | None:
    """Return how many of a set's images a row's networks were pretrained on.

    Of several networks the most; None if none of them says.

    Raises
    ------
    InputError
        If test images are among them.
    """
    networks = {one.checkpoint for one in network_inputs(checkpoints_of(checkpoint), [])}
    counts = [_seen(data, one) for one in networks]
    return max((count for count in counts if count is not None), default=None)


def _seen(data: DataSet, checkpoint: str) -> int | None:
    folder = builtin_path(checkpoint) if is_builtin(checkpoint) else Path(checkpoint)
    listing = folder / "images.sha256"  # of `dseg pretrain`
    if not listing.is_file():
        return None
    known = {line.split()[0] for line in listing.read_text(encoding="utf-8").splitlines() if line}
    found = [stem for stem, path in data.paths.items() if sha256_of(path).hex() in known]
    scored = [stem for stem in found if stem in data.test]
    if scored:
        raise InputError(
            f"'{checkpoint}' was pretrained on {len(scored)} test images of '{data.name}': "
            f"{named(scored)}. Pretrain without them, or take another checkpoint"
        )
    return len(found)


def make_untrained(checkpoint: str, options: NetworkOptions, seed: int, folder: Path) -> str:
    """Write a network of a checkpoint's architecture with the weights diffusers starts from.

    Its steps, blocks and noise schedule are the checkpoint's; filters, colour and position are
    among its features if they are among the checkpoint's.

    Returns
    -------
    str
        The folder.
    """
    backbone = _load(checkpoint, options)
    loaded = load_unet(checkpoint, CheckpointOptions(head_channels=options.head_channels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2DModel.from_config(loaded.unet.config, sample_size=loaded.size)
    spec = feature_spec(backbone, "squash")
    card = {
        "steps": list(spec.steps),
        "blocks": list(spec.blocks),
        "size": list(backbone.row_shape),
        "filters": spec.filters,
        "pixels": spec.pixels,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_network(network, scheduler_of(loaded.schedule), folder, card)
    return str(folder)


def segment_by_network(
    data: DataSet,
    store: Path,
    folder: Path,
    meter: Meter,
    options: NetworkOptions,
    *,
    checkpoint: str,
    seed: int,
) -> None:
    """Extract what is not in the store, fit on the train images, predict the test images.

    Parameters
    ----------
    data : DataSet
    store : path
        Is continued if it exists; holds train and test images only.
    folder : path
        Holds ``model`` and ``masks`` afterwards, and the lists by which the commands chose.
    meter : Meter
        Of the stages "extract" (unless the store was there), "fit" and "predict".
    options : NetworkOptions
    checkpoint : str
        One, or several, see `checkpoints_of`.
    seed : int
        Of the ensemble.

    Raises
    ------
    DsegError
        If an image fails: all methods are to be scored on the same ones.
    """
    progress = _progress(options)
    extraction = ExtractConfig(
        data.images,
        store,
        checkpoints_of(checkpoint),
        backbone=_backbone(options),
        list_file=write_list(folder / "extract.txt", (*data.train, *data.test)),
    )
    _extract(data, extraction, meter, progress)
    fitting = FitConfig(
        stores=(store,),
        labels=data.labels,
        out=folder / "model",
        list_file=write_list(folder / "train.txt", data.train),
        max_steps=options.max_steps,
        seed=seed,
        device=options.device,
    )
    with meter.stage("fit"):
        fit(fitting, progress)
    prediction = PredictConfig(
        sources=(store,),
        model=folder / "model",
        out=folder / "masks",
        list_file=write_list(folder / "test.txt", data.test),
        uncertainty=True,
        device=options.device,
    )
    with meter.stage("predict"):
        predicted = predict(prediction, progress)
    if predicted.failed:
        raise DsegError(f"not all masks of '{data.name}' were made: {predicted.failed}")


def _extract(data: DataSet, extraction: ExtractConfig, meter: Meter, progress: Progress) -> None:
    with meter.stage("extract"):
        extracted = extract(extraction, progress)
    if isinstance(extracted, Estimate) or extracted.failed:
        raise DsegError(f"not all images of '{data.name}' were extracted: {extracted}")
    if extracted.unchanged:  # then its time is in another seed's record, or was two runs'
        meter.drop("extract")
