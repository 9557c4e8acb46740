"""ConvNeXt as DINOv3 trains it (Liu et al., CVPR 2022; Siméoni et al., 2025)."""

from typing import Any

from torch import Tensor, nn

from .trunk import ConvolutionalTrunk

__all__ = ["ConvNextTrunk"]


class ConvNextTrunk(ConvolutionalTrunk):
    """The stem and blocks of a ConvNeXt.

    Parameters
    ----------
    model : transformers.DINOv3ConvNextModel
    """

    def __init__(self, model: Any) -> None:
        stages, config = list(model.model.stages), model.config
        stem, *halvings = [nn.Sequential(*stage.downsample_layers) for stage in stages]
        blocks = [block for stage in stages for block in stage.layers]
        super().__init__(blocks, config.hidden_sizes[0], config.hidden_sizes, config.depths)
        for end, halving in zip(self.stage_ends, halvings, strict=False):
            self.blocks[end + 1] = nn.Sequential(halving, blocks[end + 1])
        self.stem = stem

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the stem's output, a quarter of the input's size."""
        return self.stem(x), {}
