"""SegFormer-B0 (Xie et al., NeurIPS 2021), as transformers has it: attention at every scale.

A transformer with random weights learns slowly from few images, so it is for those whose hub cache
has trained ones, or who have many images and a GPU.
"""

from typing import Any

from torch import Tensor, nn

from .geometry import enlarged, normalised, padded
from .hub_cache import with_cached_encoder
from .start import IMAGENET_MEAN, IMAGENET_STD, Start, StudentKind

__all__ = ["SEGFORMER", "SegFormer", "build"]

STRIDE = 32
"""Of the coarsest map."""

TRAINED = ("nvidia/segformer-b0-finetuned-ade-512-512", "nvidia/mit-b0")
"""On the hub, the preferred ones first."""


class SegFormer(nn.Module):
    """The network, with its input's size for its output.

    Parameters
    ----------
    model : transformers.SegformerForSemanticSegmentation
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.head = model.segformer, model.decode_head

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → scores (B, C, H, W)."""
        whole = padded(normalised(x, IMAGENET_MEAN, IMAGENET_STD), STRIDE)
        maps = self.encoder(whole, output_hidden_states=True).hidden_states
        scores = enlarged(self.head(maps), whole)
        return scores[:, :, : x.shape[2], : x.shape[3]]


def build(n_classes: int) -> SegFormer:
    """Return the network with random weights.

    Raises
    ------
    ModuleNotFoundError
        If transformers is not installed.
    """
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(num_labels=n_classes)  # by default it is B0
    return SegFormer(SegformerForSemanticSegmentation(config))


def _begin(n_classes: int) -> Start:
    network = build(n_classes)
    from transformers import SegformerModel

    def put(encoder: nn.Module) -> None:
        network.encoder = encoder

    return with_cached_encoder(network, put, SegformerModel, TRAINED)


SEGFORMER = StudentKind(
    name="segformer",
    title="SegFormer-B0",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    begin=_begin,
    blank=build,
    needs="transformers",
)
