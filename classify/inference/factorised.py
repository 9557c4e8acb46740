"""The ensemble run on native maps: its first layer before the upsampling, not after.

A linear layer commutes with interpolation, ``W · upsample(F) = upsample(W · F)``. So the first
Linear of all M members is applied to each native map F, one matrix product over its cells; the M·H1
hidden values of a cell are then interpolated to the pixels of the tile and summed over the map
sizes, and the other layers follow. The scores are those of upsampling the D channels first, to
float rounding, for a fraction of the operations and memory. Maps that are larger than the tile are
interpolated to its pixels first, for the same reason.

Everything runs in bands of lines of the tile. The hidden values of a map are computed in blocks of
lines when a band needs them, and a new block overwrites the oldest one (a ring buffer). Where
blocks begin does not depend on the bands: a matrix product of other lines may round differently,
and the height of the bands must not change a score.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...store.errors import InputError
from ...store.read.interpolation import mix, rectangle, taps
from ...store.spec import FeatureSpec
from ..ensemble.members import EPS, MemberStack

__all__ = ["FactorisedEnsemble", "HiddenMaps", "Map"]

Map = NDArray[np.floating] | Tensor

# Pixels of a band and cells of a block. On a CPU the data of one band should fit in its cache; an
# accelerator needs fewer and larger calls.
CELLS_CPU = 2048
CELLS_ACCELERATOR = 65536


@dataclass(frozen=True)
class _MapStage:
    """The first layer on maps of one shape, and where its hidden values lie in the table.

    Line y of the map lies in block ``y // lines``; block b in slot ``b % slots``.
    """

    stored: Mapping[str, tuple[int, int, int]]  # channels, height, width of maps, by map size
    shape: tuple[int, int, int]  # of all of them where the first layer is applied
    weight: Tensor  # (channels, M·H1)
    lines: int
    slots: int
    base: int  # first cell of slot 0
    first: NDArray[np.int64]  # (H,) first and last map line that each line of the row grid reads
    last: NDArray[np.int64]

    @property
    def cells(self) -> int:
        """Cells of the table that this map uses."""
        return self.slots * self.lines * self.shape[2]

    def cell(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of the table for each cell ``y * width + x`` of the map."""
        y, x = np.divmod(index, self.shape[2])
        return self.base + y % (self.slots * self.lines) * self.shape[2] + x


class HiddenMaps:
    """The maps of one tile, and the hidden values that the current band needs.

    Made by `FactorisedEnsemble.prepare`. Bands may be computed in any order, but only in ascending
    order each hidden value is computed once. Not safe for several threads.
    """

    def __init__(self, maps: list[Tensor], table: Tensor, slots: list[int]) -> None:
        self.maps = maps
        self.table = table  # (cells, M·H1)
        self.held = [[-1] * count for count in slots]  # which block each slot holds


class FactorisedEnsemble:
    """The members' scores at every pixel of a tile, from its native maps.

    Parameters
    ----------
    stack : MemberStack
        Evaluated in eval mode. Its weights are copied.
    spec : FeatureSpec
        Of the features that the members were trained on.
    device : torch.device, str or None
        Where to compute; by default where the stack is.

    Attributes
    ----------
    members, n_classes : int
    spec : FeatureSpec
    device : torch.device
    band : int
        Height of a band: compute scores in bands of this height to save memory.

    Raises
    ------
    InputError
        If the members take vectors of another length than the spec's.
    """

    def __init__(
        self, stack: MemberStack, spec: FeatureSpec, device: torch.device | str | None = None
    ) -> None:
        if stack.widths[0] != spec.dims:
            raise InputError(
                f"the model takes feature vectors of length {stack.widths[0]}, but these features "
                f"have {spec.dims}. Was it trained on other layers?"
            )
        self.spec = spec
        self.members, self.n_classes = stack.members, stack.widths[-1]
        self.device = torch.device(device or stack.weights[0].device)
        self.cells = CELLS_CPU if self.device.type == "cpu" else CELLS_ACCELERATOR
        self.band = max(1, self.cells // spec.row_shape[1])
        with torch.no_grad():
            self._bias = stack.biases[0].reshape(-1).to(self.device)
            self._layers = [
                (weight.to(self.device), bias.to(self.device))
                for weight, bias in (_after_batchnorm(stack, i) for i in (1, 2))
            ]
            self._stages = self._map_stages(stack.weights[0])
        self._index, self._weight = self._row_taps()

    @property
    def row_shape(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return self.spec.row_shape

    def _map_stages(self, first_layer: Tensor) -> list[_MapStage]:
        stages: list[_MapStage] = []
        for shape, keys in self._keys_by_shape().items():
            weights = [_first_weight(first_layer, self.spec, key) for key in keys]
            base = sum(stage.cells for stage in stages)
            stages.append(self._map_stage(shape, keys, weights, base))
        return stages

    def _keys_by_shape(self) -> dict[tuple[int, int], list[str]]:
        """Return the map sizes by the shape in which the first layer is applied to them."""
        found: dict[tuple[int, int], list[str]] = {}
        for key in self.spec.map_sizes:
            _, height, width = self.spec.map_shape(key)
            seen = min((height, width), self.spec.row_shape, key=math.prod)
            found.setdefault(seen, []).append(key)
        return found

    def _map_stage(
        self, shape: tuple[int, int], keys: list[str], weights: list[Tensor], base: int
    ) -> _MapStage:
        weight = torch.cat(weights).to(self.device)
        stored = {key: self.spec.map_shape(key) for key in keys}
        height, width = shape
        first, last = self._lines_read((height, width))
        lines = min(height, max(1, self.cells // width))
        # The lines that a band reads must be in the table at once. A span of s lines that may start
        # anywhere in a block touches up to 2 + (s - 2) // lines blocks.
        ends = np.minimum(np.arange(len(first)) + self.band, len(first)) - 1
        span = int((last[ends] - first).max()) + 1
        slots = min(-(-height // lines), 2 + (span - 2) // lines)
        return _MapStage(stored, (len(weight), *shape), weight, lines, slots, base, first, last)

    def _lines_read(self, map_shape: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
        """Return, for each line of the tile, the first and last map line that it reads."""
        height = self.spec.row_shape[0]
        index, _ = taps(rectangle(range(height), range(1)), self.spec.row_shape, map_shape)
        return index[:, 0] // map_shape[1], index[:, 3] // map_shape[1]

    def _row_taps(self) -> tuple[Tensor, Tensor]:
        """Return rows of the table and weights of each pixel: (H, W, taps of all stages)."""
        H, W = self.spec.row_shape
        grid = rectangle(range(H), range(W))
        index, weight = [], []
        for stage in self._stages:
            cells, share = taps(grid, (H, W), stage.shape[1:])
            if stage.shape[1:] == (H, W):  # a pixel reads its own cell
                cells, share = cells[:, :1], share[:, :1]
            index.append(stage.cell(cells).astype(np.int32))
            weight.append(share)
        stacked = [np.concatenate(part, axis=1).reshape(H, W, -1) for part in (index, weight)]
        cells_read, shares = (torch.from_numpy(part).to(self.device) for part in stacked)
        return cells_read, shares

    def prepare(self, maps: Mapping[str, Map]) -> HiddenMaps:
        """Prepare the activations of one tile.

        Parameters
        ----------
        maps : mapping of map size to array or tensor (C, h, w), float16 or float32
            As `FeatureStore.map` returns them: for each of ``spec.map_sizes`` the channels of
            ``spec.layers_of(size)`` side by side.

        Raises
        ------
        InputError
            If a map is missing or has another shape than the spec's.
        """
        tensors = [self._seen(maps, stage) for stage in self._stages]
        cells = sum(stage.cells for stage in self._stages)
        table = torch.empty(cells, len(self._bias), device=self.device)
        return HiddenMaps(tensors, table, [stage.slots for stage in self._stages])

    def _seen(self, maps: Mapping[str, Map], stage: _MapStage) -> Tensor:
        """Return the maps of a stage side by side, larger ones interpolated to its shape."""
        tensors = [
            _checked(maps, key, shape).to(self.device) for key, shape in stage.stored.items()
        ]
        size = stage.shape[1:]
        seen = [one if one.shape[1:] == size else _resized(one, size) for one in tensors]
        return seen[0] if len(seen) == 1 else torch.cat([one.float() for one in seen])

    @torch.no_grad()
    def logits(self, hidden: HiddenMaps, y0: int, y1: int) -> Tensor:
        """Return the members' scores on a band of lines of the tile.

        Parameters
        ----------
        hidden : HiddenMaps
            From `prepare`.
        y0, y1 : int
            First line and the line after the last; more than ``band`` lines are computed in parts.

        Returns
        -------
        tensor of shape (M, y1 - y0, W, C), float32

        Raises
        ------
        InputError
            If the lines are not within the tile.
        """
        H, W = self.spec.row_shape
        if not 0 <= y0 < y1 <= H:
            raise InputError(f"lines {y0} to {y1} are no band of a row of {H} lines")
        bands = [(y, min(y + self.band, y1)) for y in range(y0, y1, self.band)]
        parts = [self._band(hidden, *band) for band in bands]
        scores = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return scores.view(self.members, y1 - y0, W, self.n_classes)

    def _band(self, hidden: HiddenMaps, y0: int, y1: int) -> Tensor:
        for number in range(len(self._stages)):
            self._provide(hidden, number, y0, y1)
        index, weight = self._index[y0:y1].flatten(0, 1), self._weight[y0:y1].flatten(0, 1)
        x = mix(hidden.table, index, weight).relu_()  # (pixels, M·H1)
        x = x.view(len(x), self.members, -1).transpose(0, 1)  # -> (M, pixels, H1)
        (w2, b2), (w3, b3) = self._layers
        return torch.baddbmm(b3, torch.baddbmm(b2, x, w2).relu_(), w3)

    def _provide(self, hidden: HiddenMaps, number: int, y0: int, y1: int) -> None:
        """Compute the hidden blocks that lines y0 to y1 read and that the table does not hold."""
        stage, held = self._stages[number], hidden.held[number]
        first, last = int(stage.first[y0]), int(stage.last[y1 - 1])
        for block in range(first // stage.lines, last // stage.lines + 1):
            slot = block % stage.slots
            if held[slot] != block:
                self._fill(hidden, number, block, slot)
                held[slot] = block

    def _fill(self, hidden: HiddenMaps, number: int, block: int, slot: int) -> None:
        stage = self._stages[number]
        lines = hidden.maps[number][:, block * stage.lines : (block + 1) * stage.lines]
        # (C, lines, w) -> (cells, C): with contiguous channels the product is 1.5 times as fast
        cells = lines.permute(1, 2, 0).reshape(-1, len(lines)).float()
        start = stage.base + slot * stage.lines * stage.shape[2]
        out = hidden.table[start : start + len(cells)]
        if number == 0:
            # The bias is added to one map size only: the four weights of a pixel sum to 1, so
            # interpolation leaves it unchanged.
            torch.addmm(self._bias, cells, stage.weight, out=out)
        else:
            torch.mm(cells, stage.weight, out=out)


def _first_weight(weight: Tensor, spec: FeatureSpec, key: str) -> Tensor:
    """(M, D, H1) -> (C, M·H1): the columns of one map size's channels, for all members."""
    members, _, width = weight.shape
    parts = [weight[:, inputs].transpose(0, 1) for inputs, _ in spec.columns_of(key)]
    return torch.cat(parts).reshape(-1, members * width).contiguous()


def _after_batchnorm(stack: MemberStack, i: int) -> tuple[Tensor, Tensor]:
    """Return weight (M, in, out) and bias (M, 1, out) of Linear i with the BatchNorm before it.

    With the running statistics BatchNorm is ``x · scale + shift``, so Linear after BatchNorm is
    ``x · (scale W) + (shift W + b)``. Folded in float64, on the CPU: MPS has no float64.
    """
    mean, variance = stack.means[i - 1], stack.variances[i - 1]
    tensors = stack.gammas[i - 1], stack.betas[i - 1], stack.weights[i], stack.biases[i]
    gamma, beta, weight, bias = (tensor.detach().cpu().double() for tensor in tensors)
    scale = gamma * torch.rsqrt(variance.cpu().double() + EPS)
    shift = beta - mean.cpu().double() * scale
    bias = bias.unsqueeze(1) + shift.unsqueeze(1) @ weight
    return (scale.unsqueeze(2) * weight).float(), bias.float()


def _checked(maps: Mapping[str, Map], key: str, shape: tuple[int, int, int]) -> Tensor:
    try:
        values = maps[key]
    except KeyError:
        raise InputError(
            f"a row lacks its maps of size {key}: it has {', '.join(maps) or 'none'}"
        ) from None
    if tuple(values.shape) != shape:
        raise InputError(
            f"the maps of size {key} have shape {tuple(values.shape)}, "
            f"the model expects {shape} (channels, height, width)"
        )
    if isinstance(values, Tensor):
        return values.detach()
    # torch warns about read-only memory
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate maps (C, h, w) as `taps` does: (C, *size), float32."""
    resized: Tensor = nn.functional.interpolate(
        maps[None].float(), size=size, mode="bilinear", align_corners=False
    )[0]
    return resized
