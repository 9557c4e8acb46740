"""How long a fit reads and draws, found on two rows of the store, and what masks take."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from statistics import median

import numpy as np

from ...classify.inference.factorised import FactorisedEnsemble
from ...classify.inference.prediction import Outputs, predict_image
from ...store.sampling.pixel_set import PixelSet
from ..features.sources import Segmentable, StoreSource
from .feature_reduction import find_reduction
from .job import Training

__all__ = ["masks_seconds", "reading_seconds"]

_ROWS, _DRAWN, _PROBED = 2, 6, 2


def reading_seconds(training: Training) -> float:
    """Estimate the seconds in which features are read, reduced and drawn, beside the updates."""
    plan, pixels, batch = training.plan, training.labelled.pixels, training.batch
    in_rounds, n_rows = plan.residence == "rounds", len(pixels.rows)
    most = -(-plan.pool // n_rows) if in_rounds else pixels.n  # of a row
    part = _part(pixels, max(most, -(-batch // _ROWS)))
    held = replace(plan, residence="vectors" if in_rounds else plan.residence, pool=part.n)
    start, reduction = time.perf_counter(), None
    if training.learnt.kept is not None:
        kept = training.learnt.kept
        reduction = find_reduction(training.store, part, kept, 0, training.runner)
    found = time.perf_counter() - start
    sampler = training.sampler(part, held, reduction)
    start = time.perf_counter()
    sampler.load()
    loaded = time.perf_counter()
    drawn = [time.perf_counter() for _ in islice(sampler.batches(), _DRAWN)]
    a_draw = median(np.diff(drawn).tolist())
    steps = training.steps
    times = steps / max(1, plan.pool // batch) if in_rounds else 1
    loads = times + (reduction is not None)  # its sample is of all rows too
    return found + loads * (loaded - start) * n_rows / len(part.rows) + steps * a_draw


def masks_seconds(training: Training, stems: Sequence[str]) -> float:
    """Estimate the seconds that the masks of some images take, at the pace of two of them."""
    store, device = training.store, training.device
    members = training.stack(store.spec.dims).to(device)  # untrained ones are as fast
    model = FactorisedEnsemble(members, store.spec, device)
    some = stems[:: max(1, len(stems) // _PROBED)][:_PROBED]
    start = time.perf_counter()
    for image in StoreSource(store).images(some, lambda *_: False):
        if isinstance(image, Segmentable) and image.geometry is not None:
            outputs = Outputs(uncertainty=model.members > 1)
            predict_image(model, image.geometry, image.maps, outputs=outputs)
    return (time.perf_counter() - start) * len(stems) / len(some)


def _part(pixels: PixelSet, most: int) -> PixelSet:
    """Return some pixels, at most so many of a row, of two rows of the most labelled image."""
    image = int(np.diff(pixels.image_starts).argmax())
    index = np.arange(*pixels.image_starts[image : image + 2])
    position, _ = pixels.locate(index)
    by_row = [index[position == row] for row in np.unique(position)[:_ROWS]]
    return pixels.subset(np.concatenate([own[:: max(1, len(own) // most)] for own in by_row]))
