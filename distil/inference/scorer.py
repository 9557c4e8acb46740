"""A student's scores where an ensemble's would stand: one member, whose scores are given."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["SCORES", "StudentScores"]

SCORES = "scores"
"""Key of a tile's scores (C, h, w), float32, among its maps."""

_CELLS_CPU, _CELLS_ACCELERATOR = 8192, 65536  # pixels that are voted on at once


class StudentScores:
    """The scores of a student's tiles, as `classify.inference.prediction` takes them.

    Parameters
    ----------
    n_classes : int
    row_shape : tuple of int
        Height and width of the tiles.
    device : torch.device
    """

    members = 1

    def __init__(self, n_classes: int, row_shape: tuple[int, int], device: torch.device) -> None:
        self.n_classes, self.row_shape, self.device = n_classes, row_shape, device
        self.cells = _CELLS_CPU if device.type == "cpu" else _CELLS_ACCELERATOR
        self.band = max(1, self.cells // row_shape[1])

    def prepare(self, maps: Mapping[str, Any]) -> Tensor:
        """Return the scores of one tile, (h, w, C)."""
        scores: Tensor = maps[SCORES].permute(1, 2, 0)
        return scores

    def logits(self, prepared: Tensor, y0: int, y1: int) -> Tensor:
        """Return the scores of a band of lines: (1, y1 - y0, w, C), float32."""
        return prepared[None, y0:y1]
