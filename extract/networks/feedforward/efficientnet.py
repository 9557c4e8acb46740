"""EfficientNet-Lite (Tan and Le, ICML 2019): mobile networks trained with ImageNet's labels.

Lite networks have no squeeze-and-excitation, and ReLU6 for swish. Keys are those of the PyTorch
port (``_conv_stem``, ``_blocks.N._depthwise_conv``, …), whose classifier is left out. Shapes show
all but the strides, which are the same in each of them. Block 0 is the stem; then come the MBConv
blocks (Sandler et al., CVPR 2018), numbered on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ....store.errors import InputError
from ...checkpoints.card import Card
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict, digest, some_keys
from ..options import CheckpointOptions
from .trunk import LoadedTrunk, MapTrunk

__all__ = ["KINDS", "EfficientNetTrunk", "load", "matches"]

KINDS: Mapping[str, str] = {"efficientnet-lite": "an EfficientNet-Lite, trained with ImageNet"}

SIGNS = ("_conv_stem.weight", "_bn0.weight", "_blocks.0._depthwise_conv.weight")
"""Keys by which such a network is recognised."""

SIZE = (256, 256)
CARD = Card(pixels=True)
"""What dseg recommends: colour and position, of which the coarse maps say little."""
# Of the first block of each run of equal width; the others have stride 1.
STRIDES = (1, 2, 2, 2, 1, 2, 1)
# As the networks were trained: (pixel - 127) / 128, of pixels from 0 to 255.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
_EPSILON = 1e-3  # of batch normalisation, TensorFlow's default
_KEY = re.compile(
    r"(_conv_stem|_conv_head|_bn[01]|_fc|_blocks\.\d+\._"
    r"(expand_conv|depthwise_conv|project_conv|bn[0-2]))\.\w+"
)


class _Convolution(nn.Module):
    """A convolution with its normalisation, padded as TensorFlow does, then ReLU6 if wanted."""

    def __init__(self, weight: Tensor, norm: StateDict, stride: int, active: bool) -> None:
        super().__init__()
        out, into, size, _ = weight.shape
        groups = out if into == 1 and size > 1 else 1
        # of even sides, which all maps have: "same" pads one cell less before a stride of 2
        before = (size - stride) // 2
        symmetric = before == size - stride - before
        convolution = nn.Conv2d(
            into * groups,
            out,
            size,
            stride,
            padding=before if symmetric else 0,
            groups=groups,
            bias=False,
        )
        convolution.load_state_dict({"weight": weight})
        normalisation = nn.BatchNorm2d(out, eps=_EPSILON)
        normalisation.load_state_dict(norm)
        # one operation for two: normalisation in evaluation mode is linear
        self.convolution = fuse_conv_bn_eval(convolution.eval(), normalisation.eval())
        self.padding = None if symmetric else (before, size - stride - before) * 2
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h / stride, w / stride)."""
        x = self.convolution(nn.functional.pad(x, self.padding) if self.padding else x)
        return nn.functional.relu6(x, inplace=True) if self.active else x


class _MBConv(nn.Module):
    """Expansion where there is one, a depthwise convolution, a projection; added to its input."""

    def __init__(self, parts: Sequence[_Convolution], residual: bool) -> None:
        super().__init__()
        self.parts, self.residual = nn.Sequential(*parts), residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h / stride, w / stride)."""
        h: Tensor = self.parts(x)
        return h.add_(x) if self.residual else h


class EfficientNetTrunk(MapTrunk):
    """The stem and blocks of an EfficientNet-Lite.

    Parameters
    ----------
    state : dict
        Of the PyTorch port.
    """

    def __init__(self, state: StateDict) -> None:
        widths = _widths(state)
        strides = _strides(widths)
        stem = _Convolution(state["_conv_stem.weight"], _norm(state, "_bn0"), 2, active=True)
        blocks = [_block(state, n, widths, strides[n]) for n in range(len(widths))]
        channels = (len(state["_bn0.weight"]), *widths)
        outputs = list(zip(channels, accumulate((2, *strides), mul), strict=True))
        super().__init__([stem, *blocks], (3, 1), outputs)
        # channels last: depthwise convolutions on a CPU are twice as fast
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the normalised image: the stem is a block."""
        return x.contiguous(memory_format=torch.channels_last), {}

    @property
    def run_ends(self) -> tuple[int, ...]:
        """The last block of each run of equal width, from a quarter of the input's size on.

        Maps of half the input's size know little, and are half of a store.
        """
        widths = [channels for channels, _ in self._outputs]
        ends = [n for n, (one, other) in enumerate(pairwise(widths)) if one != other]
        return tuple(n for n in (*ends, len(widths) - 1) if self._outputs[n][1] >= 4)


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    state = checkpoint.state or {}
    return "efficientnet-lite" if all(key in state for key in SIGNS) else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedTrunk:
    """Load the network.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    options.refuse_all_but((), "an EfficientNet has no attention and takes no noise")
    state = checkpoint.state or {}
    strange = [key for key in state if not _KEY.fullmatch(key)]
    if strange:  # squeeze-and-excitation, of the networks that are not Lite
        raise InputError(
            f"no EfficientNet-Lite: it has {some_keys(strange)}. The others, with "
            "squeeze-and-excitation, are not supported"
        )
    trunk = EfficientNetTrunk(state)
    return LoadedTrunk(
        kind="efficientnet-lite",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture={"widths": _widths(state), "stem": len(state["_bn0.weight"])},
        size=SIZE,
        card=CARD,
        weights=checkpoint.weights,
        trunk=trunk.eval().requires_grad_(False),
        blocks=trunk.run_ends,
        mean=MEAN,
        std=STD,
    )


def _widths(state: StateDict) -> list[int]:
    """Return the channels of each block's output."""
    numbers = {int(key.split(".")[1]) for key in state if key.startswith("_blocks.")}
    return [state[f"_blocks.{n}._project_conv.weight"].shape[0] for n in range(len(numbers))]


def _strides(widths: Sequence[int]) -> list[int]:
    starts = [True, *(one != other for one, other in pairwise(widths))]
    if starts.count(True) != len(STRIDES):
        raise ValueError(f"it has blocks of {starts.count(True)} widths, expected {len(STRIDES)}")
    of_run: Iterator[int] = iter(STRIDES)
    return [next(of_run) if start else 1 for start in starts]


def _block(state: StateDict, number: int, widths: Sequence[int], stride: int) -> _MBConv:
    prefix = f"_blocks.{number}._"
    expanded = f"{prefix}expand_conv.weight" in state
    names = [("expand_conv", "bn0", 1, True)] if expanded else []
    names += [("depthwise_conv", "bn1", stride, True), ("project_conv", "bn2", 1, False)]
    parts = [
        _Convolution(
            state[f"{prefix}{convolution}.weight"], _norm(state, f"{prefix}{norm}"), s, active
        )
        for convolution, norm, s, active in names
    ]
    residual = stride == 1 and number > 0 and widths[number - 1] == widths[number]
    return _MBConv(parts, residual)


def _norm(state: StateDict, prefix: str) -> StateDict:
    return {
        key.removeprefix(f"{prefix}."): value
        for key, value in state.items()
        if key.startswith(f"{prefix}.")
    }
