"""Masks: the members' scores on the tiles of an image, resized to the image, then the vote.

Each member's scores, not its votes, are interpolated to the image's size. If an image was cut into
several tiles, the scores of overlapping tiles are first averaged, weighted by the distance to the
edge of the tile (`blend_weight`). Everything runs in bands of lines from the top to the bottom, so
memory holds a band of the image and the scores of one line of tiles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...store.errors import DsegError, InputError
from ...store.geometry import Geometry, blend_weight
from ..ensemble.uncertainty import check_can_disagree, image_uncertainty
from ..ensemble.voting import count_votes, disagreement, shifted_softmax, tempered
from .bilinear import resize_bands
from .factorised import Map

__all__ = ["At", "Outputs", "Prediction", "Scorer", "Voting", "predict_image"]

Voting = Literal["majority", "mean"]
At = Literal["image", "row"]
Rows = Iterable[Mapping[str, Map]]


class Scorer(Protocol):
    """What gives members' scores of a tile, band by band, as `FactorisedEnsemble` does.

    Attributes
    ----------
    members, n_classes : int
    device : torch.device
    band : int
        Lines of a tile that `logits` is asked for at once.
    cells : int
        Pixels of the image that are voted on at once.
    row_shape : tuple of int
        Height and width of a tile.
    """

    members: int
    n_classes: int
    device: torch.device
    band: int
    cells: int

    @property
    def row_shape(self) -> tuple[int, int]:
        """Height and width of a tile."""

    def prepare(self, maps: Mapping[str, Map], /) -> Any:
        """Return what `logits` takes of the maps of one tile."""

    def logits(self, prepared: Any, y0: int, y1: int, /) -> Tensor:
        """Return the scores of lines ``y0`` to ``y1`` of the tile: (M, y1 - y0, W, C), float32."""


@dataclass(frozen=True)
class Outputs:
    """What to compute of an image besides its mask.

    Parameters
    ----------
    probabilities, uncertainty : bool
        Whether to fill these fields of the `Prediction`.
    sample : array of shape (n,), int64, optional
        Pixels whose probabilities are returned as float32, without keeping those of all: indices
        ``y * W + x`` into the mask, ascending.
    temperature : float
        Of ``probabilities``, see `calibration`; nothing else depends on it.
    """

    probabilities: bool = False
    uncertainty: bool = False
    sample: NDArray[np.int64] | None = None
    temperature: float = 1.0


MASK_ONLY = Outputs()


@dataclass(frozen=True)
class Prediction:
    """The prediction of the ensemble for one image.

    Parameters
    ----------
    mask : array of shape (H, W), uint8 or, if a class id is above 255, uint16
        Class ids.
    probabilities : array of shape (C, H, W), float16, or None
        Softmax of the scores, mean of the members, at `Outputs.temperature`.
    uncertainty : array of shape (H, W), float32, or None
        Jensen-Shannon divergence of the members, in nats.
    score : float or None
        `image_uncertainty` of it.
    sampled : array of shape (n, C), float32, or None
        The mean of the members' softmax at some pixels only, at temperature 1.
    """

    mask: NDArray[np.unsignedinteger]
    probabilities: NDArray[np.float16] | None
    uncertainty: NDArray[np.float32] | None
    score: float | None
    sampled: NDArray[np.float32] | None = None


@torch.no_grad()
def predict_image(
    model: Scorer,
    geometry: Geometry,
    rows: Rows,
    *,
    classes: Sequence[int] | None = None,
    voting: Voting = "majority",
    at: At = "image",
    outputs: Outputs = MASK_ONLY,
) -> Prediction:
    """Segment one image from the activations of its rows.

    Parameters
    ----------
    model : Scorer
    geometry : Geometry
        Where the rows lie in the image.
    rows : iterable of mappings as `Scorer.prepare` takes them
        The activations of the image's tiles, in order. They are consumed one by one, so with a
        generator only one is in memory.
    classes : sequence of int, optional
        The class id of each of the C scores; by default 0 to C - 1.
    voting : {"majority", "mean"}
        Each member's best class has a vote and the lowest class wins a tie, as published; or the
        highest mean probability wins.
    at : {"image", "row"}
        The mask's grid: the image's own, or the row's, as published.
    outputs : Outputs
        What to compute besides the mask; by default nothing.

    Raises
    ------
    InputError
        If the rows do not fit the model or the geometry, an argument has no such value, or the
        uncertainty of a single member is wanted.
    DsegError
        If scores are not finite: the activations hold NaN or infinity.

    References
    ----------
    Baranchuk et al., ICLR 2022: the released ``predict_labels``, which votes on the row grid.
    """
    _check_call(model, geometry, voting, at)
    if outputs.uncertainty:
        check_can_disagree(model.members)
    ids = _class_ids(range(model.n_classes) if classes is None else classes, model.n_classes)
    size = geometry.size if at == "image" else geometry.resized
    canvas = _Canvas(model, size, voting, outputs)
    lines = max(1, model.cells // size[1])
    for band in resize_bands(_resized_scores(model, geometry, rows), geometry.resized, size, lines):
        canvas.draw(band)
    return canvas.finish(ids)


def _check_call(model: Scorer, geometry: Geometry, voting: str, at: str) -> None:
    if voting not in ("majority", "mean"):
        raise InputError(f"voting must be 'majority' or 'mean', got {voting!r}")
    if at not in ("image", "row"):
        raise InputError(f"masks are made at 'image' or 'row' size, got {at!r}")
    if at == "row" and geometry.resized != geometry.row_shape:
        raise InputError(
            "a mask on the row grid is for images squashed to one row; this one was padded or cut "
            "into tiles. Ask for masks at the image's own size"
        )
    if geometry.row_shape != model.row_shape:
        raise InputError(
            f"the image was cut into rows of {geometry.row_shape}, the model's features have rows "
            f"of {model.row_shape}"
        )


def _class_ids(classes: Sequence[int], n_classes: int) -> NDArray[np.unsignedinteger]:
    ids = np.asarray(classes)
    fits = ids.shape == (n_classes,) and ids.dtype.kind in "iu"
    if not fits or ids.min() < 0 or ids.max() > np.iinfo(np.uint16).max:
        raise InputError(
            f"a mask needs {n_classes} class ids, whole numbers from 0 to 65535; "
            f"got {list(classes)}"
        )
    if ids.max() > np.iinfo(np.uint8).max:
        return ids.astype(np.uint16)
    return ids.astype(np.uint8)


# ---- scores on the resized grid, as bands (lines, width, M·C) from the top ----


def _resized_scores(model: Scorer, geometry: Geometry, rows: Rows) -> Iterator[Tensor]:
    tiles = iter(rows)
    if len(geometry.offsets) == 1:
        for _, band in _row_scores(model, _next_row(tiles, geometry, 0), geometry.content(0)):
            yield band
    else:
        yield from _blended_scores(model, geometry, tiles)
    if next(tiles, None) is not None:
        raise InputError(
            f"more than {len(geometry.offsets)} rows were given for an image of "
            f"{geometry.size[0]}x{geometry.size[1]}"
        )


def _next_row(
    tiles: Iterator[Mapping[str, Map]], geometry: Geometry, number: int
) -> Mapping[str, Map]:
    row = next(tiles, None)
    if row is None:
        raise InputError(
            f"only {number} of {len(geometry.offsets)} rows were given for an image of "
            f"{geometry.size[0]}x{geometry.size[1]}"
        )
    return row


def _row_scores(
    model: Scorer, row: Mapping[str, Map], content: tuple[int, int]
) -> Iterator[tuple[int, Tensor]]:
    """Yield the first line and the scores of each band of one row's content."""
    height, width = content
    hidden = model.prepare(row)
    for y in range(0, height, model.band):
        scores = model.logits(hidden, y, min(y + model.band, height))[:, :, :width]
        yield y, scores.permute(1, 2, 0, 3).flatten(2)  # (M, lines, w, C) -> (lines, w, M·C)


def _blended_scores(
    model: Scorer, geometry: Geometry, tiles: Iterator[Mapping[str, Map]]
) -> Iterator[Tensor]:
    """Blend tiles, one line of tiles after the other.

    After a line of tiles, the scores are final down to where the next line of tiles begins. What is
    below, where both overlap, moves to the top of the strip.
    """
    (tile_height, _), (height, width) = geometry.row_shape, geometry.resized
    weight = torch.from_numpy(blend_weight(geometry.row_shape)).to(model.device).unsqueeze(-1)
    strip = torch.zeros(tile_height, width, model.members * model.n_classes, device=model.device)
    total = torch.zeros(tile_height, width, 1, device=model.device)  # of the weights
    tops = sorted({y for y, _ in geometry.offsets})
    ends = [*tops[1:], height]
    numbered = groupby(enumerate(geometry.offsets), key=lambda item: item[1][0])
    for (top, line_of_tiles), end in zip(numbered, ends, strict=True):
        for number, (_, x) in line_of_tiles:
            columns = slice(x, x + geometry.row_shape[1])
            total[:, columns] += weight
            scores = _row_scores(model, _next_row(tiles, geometry, number), geometry.row_shape)
            for y, band in scores:
                lines = slice(y, y + len(band))
                strip[lines, columns] += band * weight[lines]
        final = end - top
        for y in range(0, final, model.band):
            lines = slice(y, min(y + model.band, final))
            yield strip[lines] / total[lines]
        for part in (strip, total):
            below = part[final:].clone()
            part.zero_()[: len(below)] = below


# ---- the vote ----


class _Canvas:
    """Fills the arrays of a `Prediction`, band after band from the top."""

    def __init__(
        self,
        model: Scorer,
        size: tuple[int, int],
        voting: Voting,
        outputs: Outputs,
    ) -> None:
        self._model, self._voting, self._y = model, voting, 0
        self._winner = np.empty(size, np.uint16)  # indices into the list of classes
        shape = (model.n_classes, *size)
        self._probabilities = np.empty(shape, np.float16) if outputs.probabilities else None
        self._uncertainty = np.empty(size, np.float32) if outputs.uncertainty else None
        self._sample, self._temperature = outputs.sample, outputs.temperature
        self._sampled = (
            None
            if outputs.sample is None
            else np.empty((len(outputs.sample), model.n_classes), np.float32)
        )

    def draw(self, band: Tensor) -> None:
        """Take the next lines' scores (lines, W, M·C)."""
        height, width, _ = band.shape
        scores = band.reshape(height * width, self._model.members, self._model.n_classes)
        best, winners = scores.max(-1)
        lines = slice(self._y, self._y + height)
        if not torch.isfinite(best).all():
            raise DsegError(
                f"the scores in lines {lines.start} to {lines.stop - 1} are not finite, "
                "because the activations there contain NaN or infinity. Extract the image "
                "again, or leave it out"
            )
        mean = self._fill_outputs(scores, best, lines)
        ballot = count_votes(winners, self._model.n_classes) if mean is None else mean
        self._winner[lines] = ballot.argmax(-1).view(height, width).cpu().numpy()
        self._y += height

    def _fill_outputs(self, scores: Tensor, best: Tensor, lines: slice) -> Tensor | None:
        """Fill what is wanted besides the mask; return the mean probability if it decides."""
        decides = self._voting == "mean"
        wanted = (self._probabilities, self._uncertainty, self._sampled)
        if not decides and all(one is None for one in wanted):
            return None
        height, width = lines.stop - lines.start, self._winner.shape[1]
        shifted, probabilities = shifted_softmax(scores, best)
        mean = probabilities.mean(1)  # (n, M, C) -> (n, C)
        if self._probabilities is not None:
            halves = tempered(mean, self._temperature).half()
            self._probabilities[:, lines] = halves.t().reshape(-1, height, width).cpu().numpy()
        if self._uncertainty is not None:
            divergence = disagreement(shifted, probabilities, mean)
            self._uncertainty[lines] = divergence.view(height, width).cpu().numpy()
        if self._sample is not None and self._sampled is not None:
            start = lines.start * width
            first, last = np.searchsorted(self._sample, [start, start + len(mean)])
            pixels = torch.from_numpy(self._sample[first:last] - start).to(mean.device)
            self._sampled[first:last] = mean[pixels].cpu().numpy()
        return mean if decides else None

    def finish(self, ids: NDArray[np.unsignedinteger]) -> Prediction:
        """Return the whole image's prediction, in class ids."""
        uncertainty = self._uncertainty
        score = None if uncertainty is None else image_uncertainty(uncertainty)
        return Prediction(ids[self._winner], self._probabilities, uncertainty, score, self._sampled)
