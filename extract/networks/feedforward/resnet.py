"""Residual networks of bottleneck blocks (He et al., CVPR 2016), with the weights of SwAV.

Keys are torchvision's, perhaps with ``module.`` before them; SwAV's projection head and prototypes
are left out. Its wider network doubles every width under the same names (Caron et al., NeurIPS
2020). Blocks are numbered through all four stages, from 0.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict, digest, some_keys
from ...checkpoints.transformers_folder import loaded_quietly
from ..options import CheckpointOptions
from .trunk import ConvolutionalTrunk, LoadedTrunk

__all__ = ["KINDS", "ResNetTrunk", "load", "matches", "published_blocks"]

KINDS: Mapping[str, str] = {"swav": "a ResNet, as SwAV trains it"}

SIGNS = ("conv1.weight", "layer1.0.conv3.weight")
"""Keys by which such a network is recognised."""

SIZE = (256, 256)
"""Of the input, as in the paper; a ResNet itself takes any."""

STAGES = 4
# In blocks; what a ResNeSt, SE-ResNet or the like has besides these would be left out.
KEY = re.compile(r"layer[1-4]\.\d+\.((conv|bn)[1-3]|downsample\.[01])\.\w+")


def published_blocks(depths: list[int]) -> tuple[int, ...]:
    """Return every second block of each stage, from its first: what the paper records.

    Examples
    --------
    >>> published_blocks([3, 4, 6, 3])
    (0, 2, 3, 5, 7, 9, 11, 13, 15)
    """
    starts = [sum(depths[:stage]) for stage in range(len(depths))]
    return tuple(
        start + at for start, depth in zip(starts, depths, strict=True) for at in range(0, depth, 2)
    )


class ResNetTrunk(ConvolutionalTrunk):
    """The stem and blocks of a residual network.

    Parameters
    ----------
    model : transformers.ResNetModel
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        blocks = [block for stage in model.encoder.stages for block in stage.layers]
        super().__init__(blocks, config.embedding_size, config.hidden_sizes, config.depths)
        self.embedder = model.embedder

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the stem's output, a quarter of the input's size."""
        return self.embedder(x), {}


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    return "swav" if all(key in (checkpoint.state or {}) for key in SIGNS) else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedTrunk:
    """Load the network.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    options.refuse_all_but((), "a ResNet has no attention and takes no noise")
    state = checkpoint.state or {}
    config = resnet_config(state)
    return LoadedTrunk(
        kind="swav",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture=config,
        size=SIZE,
        weights=checkpoint.weights,
        trunk=ResNetTrunk(build_resnet(state, config)),
        blocks=published_blocks(config["depths"]),
        inputs=True,  # as published
    )


def resnet_config(state: StateDict) -> dict[str, Any]:
    """Read the architecture off a state dict, as values of transformers' ``ResNetConfig``.

    Raises
    ------
    InputError
        If it is no such network.
    """
    stages = [f"layer{stage}." for stage in range(1, STAGES + 1)]
    signs = ("conv1.weight", "bn1.running_mean", *(f"{stage}0.conv3.weight" for stage in stages))
    lacking = [key for key in signs if key not in state or not state[key].ndim]
    strange = [key for key in state if key.startswith("layer") and not KEY.fullmatch(key)]
    if lacking or strange:
        why = f"lacks {some_keys(lacking)}" if lacking else f"has {some_keys(strange)}"
        raise InputError(f"not a ResNet of bottleneck blocks: it {why}")
    depths = [1 + max(int(k.split(".")[1]) for k in state if k.startswith(s)) for s in stages]
    return {
        "embedding_size": state["conv1.weight"].shape[0],
        "hidden_sizes": [state[f"{stage}0.conv3.weight"].shape[0] for stage in stages],
        "depths": depths,
        "layer_type": "bottleneck",
        "hidden_act": "relu",
    }


def build_resnet(state: StateDict, config: dict[str, Any]) -> Any:
    """Return transformers' ``ResNetModel`` with the weights of a state dict.

    Raises
    ------
    InputError
        If weights are missing or of other shapes.
    """
    from transformers import ResNetConfig, ResNetModel

    return loaded_quietly(
        ResNetModel,
        "the weights of the ResNet checkpoint",
        None,
        config=ResNetConfig(**config),
        state_dict=dict(_renamed(state)),
    )


def _renamed(state: StateDict) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors under transformers' names; without heads."""
    stem = {"conv1": "convolution", "bn1": "normalization"}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        if first in stem and rest:
            yield f"embedder.embedder.{stem[first]}.{rest}", value
        elif first.startswith("layer"):
            block, part, kind = rest.split(".", 2)
            where = f"encoder.stages.{int(first[5:]) - 1}.layers.{block}"
            if part == "downsample":
                number, kind = kind.split(".", 1)
                name = "convolution" if number == "0" else "normalization"
                yield f"{where}.shortcut.{name}.{kind}", value
            else:
                name = "convolution" if part.startswith("conv") else "normalization"
                yield f"{where}.layer.{int(part[-1]) - 1}.{name}.{kind}", value
