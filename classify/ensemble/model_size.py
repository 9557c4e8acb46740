"""Estimate the size of a model on disk before it is trained."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...store.spec import FeatureSpec
from ..labels.classes import Classes
from .members import MemberStack
from .recipes import Recipe
from .training import LOG_EVERY, MemberLog, TrainingLog

__all__ = ["model_bytes"]

_TYPICAL_LOSS = float(np.float32(1 / 3))  # has as many digits as most
_MAX_RECORDED_STEPS = 20_000  # steps; from there on the curve is thinned by half again and again


def model_bytes(
    stack: MemberStack,
    classes: Classes,
    spec: FeatureSpec,
    recipe: Recipe,
    steps: int,
    extra: Mapping[str, Any],
) -> int:
    """Return the bytes of the files that `model_files.write_model` will write, to a few percent.

    Parameters
    ----------
    stack : MemberStack
        Trained or not.
    classes : Classes
    spec : FeatureSpec
    recipe : Recipe
    steps : int
        Of each member, whose losses are saved, too.
    extra : mapping
        What the caller will add.
    """
    tensors = sum(int(value.nbytes) for value in stack.state_dict().values())
    member = MemberLog()
    interval = LOG_EVERY if recipe.patience is None else 1
    for step in range(0, min(steps, _MAX_RECORDED_STEPS), interval):
        member.note(step + 1, _TYPICAL_LOSS)
    log = TrainingLog(recipe, 0, 0.0, [member] * stack.members)
    facts = {
        "classes": classes.to_list(),
        "spec": spec.to_dict(),
        "log": log.to_dict(),
        "extra": dict(extra),
    }
    return tensors + len(json.dumps(facts, indent=1).encode())
