"""Networks that take the image as it is, without noise: a stem, then block after block.

What a vision transformer and a residual network have in common: each block turns the activation so
far into the next, and the activation after (or before) a block is a layer of the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import Tensor, nn

from ..clean import CleanBackbone, LoadedClean, Shape, choose_numbers, refuse_noise
from ..defaults import choose_size
from ..options import BackboneOptions
from ..precision import at_precision, halve_weights

__all__ = [
    "ConvolutionalTrunk",
    "LoadedTrunk",
    "Trunk",
    "TrunkBackbone",
]


class Trunk(nn.Module):
    """A stem and its blocks.

    Parameters
    ----------
    blocks : sequence of modules
    cell : int
        Image pixels a side of the coarsest map's cells: the input's sides are multiples of it.

    Attributes
    ----------
    blocks : nn.ModuleList
        Those past the last that is wanted may be removed.
    """

    def __init__(self, blocks: Sequence[nn.Module], cell: int) -> None:
        super().__init__()
        self.blocks, self.cell = nn.ModuleList(blocks), cell

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the first block's input for (B, 3, H, W), and what every block takes besides."""
        raise NotImplementedError

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """Return an activation as (B, C, h, w), of input of a size (H, W)."""
        raise NotImplementedError

    def shapes(self, row_shape: tuple[int, int], inputs: bool) -> list[Shape]:
        """Return channels, height and width of each block's output, or of its input."""
        raise NotImplementedError

    def forward(self, x: Tensor, wanted: Sequence[int], inputs: bool) -> list[Tensor]:
        """Return the outputs, or inputs, of the wanted blocks, ascending: each (B, C, h, w)."""
        size = (x.shape[2], x.shape[3])
        h, arguments = self.begin(x)
        found: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            if inputs and number in wanted:
                found.append(self.as_map(h, size))
            if len(found) == len(wanted):
                break
            h = block(h, **arguments)
            if not inputs and number in wanted:
                found.append(self.as_map(h, size))
        return found


class MapTrunk(Trunk):
    """A trunk whose activations are maps.

    Parameters
    ----------
    blocks : sequence of modules
    first : tuple of int
        Channels and stride of the first block's input.
    outputs : sequence of tuples of int
        Channels and stride of each block's output.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        first: tuple[int, int],
        outputs: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(blocks, cell=max(stride for _, stride in outputs))
        self._first, self._outputs = first, tuple(outputs)

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the activation, which is a map."""
        return h

    def shapes(self, row_shape: tuple[int, int], inputs: bool) -> list[Shape]:
        """Return channels, height and width of each block's output, or of its input."""
        found = (self._first, *self._outputs[:-1]) if inputs else self._outputs
        return [(c, row_shape[0] // stride, row_shape[1] // stride) for c, stride in found]


class ConvolutionalTrunk(MapTrunk):
    """A stem that gives a quarter of the input's size, then stages that each halve it again.

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
        stages = enumerate(zip(channels, depths, strict=True))
        outputs = [(c, 4 * 2**stage) for stage, (c, depth) in stages for _ in range(depth)]
        super().__init__(blocks, (stem, 4), outputs)
        self.stage_ends = tuple(end - 1 for end in accumulate(depths))


@dataclass(frozen=True, kw_only=True)
class LoadedTrunk(LoadedClean):
    """A network without noise as loaded, with what is known of it.

    Parameters
    ----------
    trunk : Trunk
        Evaluation mode, CPU, float32.
    blocks : tuple of int
        To be recorded by default.
    inputs : bool
        Whether the blocks' inputs are recorded by default, not their outputs.
    """

    trunk: Trunk
    blocks: tuple[int, ...]
    inputs: bool = False

    def backbone(self, options: BackboneOptions) -> "TrunkBackbone":
        """Return the backbone that records what the options say."""
        return TrunkBackbone(self, options)


class TrunkBackbone(CleanBackbone):
    """The activations of a trunk's blocks.

    Parameters
    ----------
    loaded : LoadedTrunk
        Its network is taken over and moved; do not use it elsewhere.
    options : BackboneOptions

    Raises
    ------
    InputError
        See `LoadedNetwork.backbone`.
    """

    def __init__(self, loaded: LoadedTrunk, options: BackboneOptions) -> None:
        refuse_noise(options)
        card, trunk = loaded.card, loaded.trunk
        row_shape = choose_size(options.size, card.size or loaded.size, trunk.cell)
        inputs = loaded.inputs if options.inputs is None else options.inputs
        wanted = (card.blocks or loaded.blocks) if options.blocks is None else options.blocks
        shapes = trunk.shapes(row_shape, inputs)
        blocks = choose_numbers(wanted, len(shapes))
        super().__init__(loaded, options, shapes, blocks, row_shape, inputs)
        del trunk.blocks[blocks[-1] + 1 :]  # nothing past the last one wanted is computed
        halve_weights(trunk, options.precision)
        self._trunk = trunk.to(self.device)

    def _activations(self, x: Tensor) -> list[Tensor]:
        with at_precision(self._precision, self.device):
            found = self._trunk(self._normalised(x), self.blocks, self._inputs)
        return [activation.float() for activation in found]
