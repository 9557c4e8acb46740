"""One training of the comparison, from pixels to scores."""

import time
from typing import Any

import numpy as np
import torch
from dseg import PixelEnsemble
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.reduction import ReductionPlan, fit_reduction
from dseg.classify.ensemble.uncertainty import jensen_shannon
from dseg.classify.ensemble.voting import count_votes
from dseg.classify.evaluation.metrics import mean_iou
from real.scoring import roc_auc

from .pixels import Drawn
from .published import as_stack, published_members

__all__ = ["MEMBERS", "run_ours", "run_published"]

MEMBERS = 10
CHUNK = 4096


def run_published(learnt: Drawn, scored: Drawn, seed: int, limit: float) -> dict[str, Any]:
    """Train by the published loop; score once it has stopped."""
    X, y = torch.from_numpy(learnt.X).float(), torch.from_numpy(learnt.y)
    members = list(published_members(X, y, len(learnt.classes), MEMBERS, seed, limit))
    return {
        "seconds": members[-1].seconds,
        "steps": [member.steps for member in members],
        **_scores(as_stack(members), scored),
    }


def run_ours(
    learnt: Drawn, scored: Drawn, seed: int, steps: int, reduced_to: int | None
) -> dict[str, Any]:
    """Train by dseg's default recipe, reduction included; score."""
    whole = learnt.X.astype(np.float32)
    start, X, reduction = time.perf_counter(), whole, None
    if reduced_to is not None:
        kept = ReductionPlan.of(learnt.spec, reduced_to)
        some = np.random.default_rng(seed).permutation(len(whole))[: kept.pixels]
        by_size = learnt.by_size()
        sample = {size: part[some] for size, part in by_size.items()}
        reduction = fit_reduction(sample, learnt.spec, kept)
        X = np.concatenate(
            [reduction.vectors(size, part) for size, part in by_size.items()], axis=1
        ).astype(np.float32)
    ensemble = PixelEnsemble(MEMBERS, max_steps=steps, random_state=seed)
    sampler = ArraySampler(X, members=MEMBERS, batch_size=64, seed=seed)
    ensemble.fit_batches(
        sampler, learnt.y, classes=learnt.classes, spec=learnt.spec, reduction=reduction
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "steps": [steps] * MEMBERS, **_scores(ensemble.stack_, scored)}


@torch.no_grad()
def _scores(stack: MemberStack, scored: Drawn) -> dict[str, Any]:
    winners, uncertainty = [], []
    for first in range(0, len(scored.X), CHUNK):
        scores = stack(torch.from_numpy(scored.X[first : first + CHUNK]).float())
        votes = count_votes(scores.argmax(-1).T, scores.shape[-1])
        winners.append(votes.argmax(-1).numpy())
        uncertainty.append(jensen_shannon(scores.softmax(-1).numpy()))
    predicted = np.concatenate(winners)
    return {
        "mean_iou": mean_iou(predicted, scored.y, len(scored.classes)),
        "auc": roc_auc(predicted != scored.y, np.concatenate(uncertainty)),
    }
