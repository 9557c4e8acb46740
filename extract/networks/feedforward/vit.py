"""Vision transformers: MAE and DINO, as transformers computes them.

A block's activation is one token a patch, laid out as a map; the class token and registers take
part in attention and are left out of it (He et al., CVPR 2022; Oquab et al., TMLR 2024).
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..clean import Shape
from .trunk import Trunk

__all__ = ["DINO_BLOCKS", "MAE_BLOCKS", "DinoTrunk", "MaeTrunk", "last_blocks"]

MAE_BLOCKS = 12
"""How many of the last blocks are recorded, as published."""
DINO_BLOCKS = 4
"""The same, as in DINOv2's own segmentation head."""


def last_blocks(depth: int, count: int) -> tuple[int, ...]:
    """Return the numbers of the last so many blocks of so many.

    >>> last_blocks(12, 4)
    (8, 9, 10, 11)
    """
    return tuple(range(max(0, depth - count), depth))


def _block_list(model: nn.Module, count: int) -> nn.ModuleList:
    """Return a transformer's list of blocks, whatever it is called in the library's version."""
    lists = (m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
    return next(lists)


class _VisionTransformer(Trunk):
    """A transformer of square patches."""

    def __init__(self, model: Any, prefix: int) -> None:
        config = model.config
        super().__init__(list(_block_list(model, config.num_hidden_layers)), config.patch_size)
        self.embeddings, self._prefix = model.embeddings, prefix
        self._channels = int(config.hidden_size)

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, prefix + h·w, C) → (B, C, h, w)."""
        height, width = (side // self.cell for side in size)
        patches = h[:, self._prefix :].transpose(1, 2)
        return patches.reshape(len(h), -1, height, width)

    def shapes(self, row_shape: tuple[int, int], inputs: bool) -> list[Shape]:
        """Return channels, height and width: the same for every block."""
        height, width = (side // self.cell for side in row_shape)
        return [(self._channels, height, width)] * len(self.blocks)


class MaeTrunk(_VisionTransformer):
    """A masked autoencoder's encoder, with all patches shown to it.

    Parameters
    ----------
    model : transformers.ViTMAEModel
        With a mask ratio of 0.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model, prefix=1)

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the tokens, in the order of the patches: raw outputs, as published, follow."""
        patches = (x.shape[2] // self.cell) * (x.shape[3] // self.cell)
        in_order = torch.arange(patches, device=x.device, dtype=torch.float32)
        tokens = self.embeddings(
            x, noise=in_order.expand(len(x), -1), interpolate_pos_encoding=True
        )[0]
        return tokens, {}


class DinoTrunk(_VisionTransformer):
    """DINOv2 or DINOv3. Activations pass the network's last norm, as its authors use them.

    Parameters
    ----------
    model : transformers.Dinov2Model, Dinov2WithRegistersModel or DINOv3ViTModel
    """

    def __init__(self, model: Any) -> None:
        registers = getattr(model.config, "num_register_tokens", 0)
        super().__init__(model, prefix=1 + registers)
        self.norm = model.norm if hasattr(model, "norm") else model.layernorm
        self.rope = getattr(model, "rope_embeddings", None)

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the tokens, and for DINOv3 the rotations by each patch's position."""
        rotations = {} if self.rope is None else {"position_embeddings": self.rope(x)}
        return self.embeddings(x), rotations

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, prefix + h·w, C) → (B, C, h, w), normalised."""
        return super().as_map(self.norm(h), size)
