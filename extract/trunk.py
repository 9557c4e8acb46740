"""Networks that take the image as it is, without noise: a stem, then block after block.

What a vision transformer and a residual network have in common: each block turns the activation so
far into the next, and the activation after (or before) a block is a layer of the features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from ..store.errors import InputError
from ..store.spec import CLEAN, LayerSpec
from .card import Card
from .choices import choose_size, refuse_doubles
from .network import NetworkBackbone
from .precision import Precision, at_precision, halve_weights
from .weight_sets import Choice

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ConvolutionalTrunk",
    "LoadedTrunk",
    "Trunk",
    "TrunkBackbone",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Shape = tuple[int, int, int]


class Trunk(nn.Module):
    """A stem and its blocks.

    Parameters
    ----------
    blocks : sequence of modules
    cell : int
        Image pixels a side of the coarsest map's cells: rows have multiples of it.

    Attributes
    ----------
    blocks : nn.ModuleList
        Those past the last that is wanted may be removed.
    """

    def __init__(self, blocks: Sequence[nn.Module], cell: int) -> None:
        super().__init__()
        self.blocks, self.cell = nn.ModuleList(blocks), cell

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the first block's input for (B, 3, H, W), and what every block takes beside it."""
        raise NotImplementedError

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """Return an activation as (B, C, h, w), of rows of a size (H, W)."""
        raise NotImplementedError

    def shapes(self, row_shape: tuple[int, int], inputs: bool) -> list[Shape]:
        """Return channels, height and width of each block's output, or of its input."""
        raise NotImplementedError

    def forward(self, x: Tensor, wanted: Sequence[int], inputs: bool) -> list[Tensor]:
        """Return the outputs, or inputs, of the wanted blocks, ascending: each (B, C, h, w)."""
        size = (x.shape[2], x.shape[3])
        h, beside = self.begin(x)
        found: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            if inputs and number in wanted:
                found.append(self.as_map(h, size))
            if len(found) == len(wanted):
                break
            h = block(h, **beside)
            if not inputs and number in wanted:
                found.append(self.as_map(h, size))
        return found


class ConvolutionalTrunk(Trunk):
    """A stem that gives a quarter of the rows' size, then stages that each halve it again.

    Blocks are numbered through all stages, from 0; the first of a stage halves.

    Parameters
    ----------
    blocks : sequence of modules
    stem : int
        Channels of the stem's output.
    channels, depths : sequence of int
        Of each stage, its outputs' channels and its number of blocks.

    Attributes
    ----------
    stage_ends : tuple of int
        The last block of each stage.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        stem: int,
        channels: Sequence[int],
        depths: Sequence[int],
    ) -> None:
        super().__init__(blocks, cell=4 * 2 ** (len(depths) - 1))
        self._outputs = [
            (channels[stage], 4 * 2**stage)
            for stage, depth in enumerate(depths)
            for _ in range(depth)
        ]
        self._stem = (stem, 4)
        self.stage_ends = tuple(end - 1 for end in accumulate(depths))

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the activation, which is a map."""
        return h

    def shapes(self, row_shape: tuple[int, int], inputs: bool) -> list[Shape]:
        """Return channels, height and width of each block's output, or of its input."""
        outputs = [self._stem, *self._outputs[:-1]] if inputs else self._outputs
        return [(c, row_shape[0] // stride, row_shape[1] // stride) for c, stride in outputs]


@dataclass(frozen=True)
class LoadedTrunk:
    """A network as loaded, with what is known of it.

    Parameters
    ----------
    trunk : Trunk
        Evaluation mode, CPU, float32.
    kind : str
        Of `opening.KINDS`.
    source, sha256 : str
        Where the checkpoint came from, and its hash.
    architecture : mapping
        Plain JSON values.
    size : tuple of int
        Height and width of the rows it is meant for.
    blocks : tuple of int
        To be recorded unless told.
    inputs : bool
        Whether the blocks' inputs are recorded unless told, not their outputs.
    mean, std : tuple of float
        Of colours in [0, 1], by which the input is normalised.
    card : Card
    weights : Choice
        Which of several sets of weights these are.
    """

    trunk: Trunk
    kind: str
    source: str
    sha256: str
    architecture: Mapping[str, Any]
    size: tuple[int, int]
    blocks: tuple[int, ...]
    inputs: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    card: Card = field(default_factory=Card)
    weights: Choice = field(default_factory=Choice)


class TrunkBackbone(NetworkBackbone):
    """The activations of a trunk's blocks.

    Parameters
    ----------
    loaded : LoadedTrunk
        Its network is taken over and moved; do not use it elsewhere.
    blocks : sequence of int, optional
        By default those of the card, else the usual ones of such a network.
    size : int or tuple of int, optional
        Height and width of a row; by default the card's, else the network's own.
    inputs : bool, optional
        Record each block's input instead of its output; by default as is usual for the network.
    filters, pixels : bool, optional
        Add a layer of classical filters, and a last one of colour and place; by default as the
        card says, else no.
    precision : {"float32", "float16", "bfloat16"}
    flip : bool
        Average with the mirrored image's activations.
    device : str or torch.device, optional
        By default CUDA, else MPS, else the CPU.

    Raises
    ------
    InputError
        If the network lacks a block, one is given twice, the size does not fit the network, or
        there is no such device.
    """

    seed = 0  # there is no noise

    def __init__(
        self,
        loaded: LoadedTrunk,
        blocks: Sequence[int] | None = None,
        *,
        size: int | tuple[int, int] | None = None,
        inputs: bool | None = None,
        filters: bool | None = None,
        pixels: bool | None = None,
        precision: Precision = "float32",
        flip: bool = False,
        device: str | torch.device | None = None,
    ) -> None:
        card, trunk = loaded.card, loaded.trunk
        row_shape = choose_size(size, card.size or loaded.size, trunk.cell)
        inputs = loaded.inputs if inputs is None else inputs
        wanted = (card.blocks or loaded.blocks) if blocks is None else blocks
        self.blocks = _chosen(wanted, len(trunk.blocks))
        shapes = trunk.shapes(row_shape, inputs)
        super().__init__(
            loaded,
            [LayerSpec(CLEAN, number, *shapes[number]) for number in self.blocks],
            row_shape=row_shape,
            inputs=inputs,
            filters=filters,
            pixels=pixels,
            precision=precision,
            flip=flip,
            device=device,
        )
        self._description["normalisation"] = {"mean": list(loaded.mean), "std": list(loaded.std)}
        del trunk.blocks[self.blocks[-1] + 1 :]
        halve_weights(trunk, precision)
        self._trunk = trunk.to(self.device)
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1)
            for values in (loaded.mean, loaded.std)
        )

    def _activations(self, x: Tensor) -> list[Tensor]:
        normalised = ((x + 1) / 2 - self._mean) / self._std
        with at_precision(self._precision, self.device):
            found = self._trunk(normalised, self.blocks, self._inputs)
        return [activation.float() for activation in found]


def _chosen(blocks: Sequence[int], count: int) -> tuple[int, ...]:
    lacking = [block for block in blocks if not 0 <= block < count]
    if lacking or not blocks:
        given = f"the network has no blocks {lacking}" if lacking else "no blocks are given"
        raise InputError(f"{given}: it has 0 to {count - 1}")
    refuse_doubles("blocks", blocks)
    return tuple(sorted(blocks))
