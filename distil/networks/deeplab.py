"""DeepLabV3 on a ResNet-101, the network that the DatasetDDPM paper trains on its pairs.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, in torchvision's
form: the last two stages keep stride 8 and are dilated instead, by 2 and 4; the first block of each
has the dilation of the stage before. Then atrous spatial pyramid pooling (ASPP) with rates 12, 24
and 36, a 3×3 convolution and the classifier. Its weights are random ones.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .geometry import enlarged, normalised
from .start import IMAGENET_MEAN, IMAGENET_STD, Start, StudentKind

__all__ = ["DEEPLAB", "DeepLab", "build"]

DEPTHS = (3, 4, 23, 3)
RATES = (12, 24, 36)
WIDTH = 256
"""Channels of the head."""


class DeepLab(nn.Module):
    """A dilated ResNet and the head of DeepLabV3.

    Parameters
    ----------
    resnet : transformers.ResNetModel
        Of bottleneck blocks; its strides are changed.
    n_classes : int
    """

    def __init__(self, resnet: Any, n_classes: int) -> None:
        super().__init__()
        self.embedder, self.stages = resnet.embedder, resnet.encoder.stages
        _dilate(self.stages[2], first=1, others=2)
        _dilate(self.stages[3], first=2, others=4)
        self.aspp = _Aspp(resnet.config.hidden_sizes[-1])
        self.head = _convolution(WIDTH, WIDTH, 3)
        self.classifier = nn.Conv2d(WIDTH, n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → scores (B, C, H, W)."""
        h = self.embedder(normalised(x, IMAGENET_MEAN, IMAGENET_STD))
        for stage in self.stages:
            h = stage(h)
        return enlarged(self.classifier(self.head(self.aspp(h))), x)


class _Aspp(nn.Module):
    """Atrous spatial pyramid pooling: what is seen at several distances, and the whole image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_convolution(channels, WIDTH, 1)]
            + [_convolution(channels, WIDTH, 3, rate) for rate in RATES]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_convolution(channels, WIDTH, 1))
        together = WIDTH * (len(self.branches) + 1)
        self.project = nn.Sequential(*_convolution(together, WIDTH, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) → (B, WIDTH, h, w)."""
        found = [branch(x) for branch in self.branches]
        projected: Tensor = self.project(torch.cat([*found, enlarged(self.pooled(x), x)], dim=1))
        return projected


def _convolution(channels: int, width: int, size: int, rate: int = 1) -> nn.Sequential:
    padding = rate * (size // 2)
    return nn.Sequential(
        nn.Conv2d(channels, width, size, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def _dilate(stage: Any, first: int, others: int) -> None:
    """Have a stage keep its input's size, with dilated 3×3 convolutions."""
    for number, block in enumerate(stage.layers):
        rate = others if number else first
        convolution = block.layer[1].convolution
        convolution.stride, convolution.dilation, convolution.padding = (
            (n, n) for n in (1, rate, rate)
        )
    stage.layers[0].shortcut.convolution.stride = (1, 1)


def build(n_classes: int) -> DeepLab:
    """Return the network with random weights.

    Raises
    ------
    ModuleNotFoundError
        If transformers is not installed.
    """
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(layer_type="bottleneck", depths=list(DEPTHS))
    return DeepLab(ResNetModel(config), n_classes)


DEEPLAB = StudentKind(
    name="deeplab",
    title="DeepLabV3 on ResNet-101",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    begin=lambda n_classes: Start(build(n_classes), "random weights, as published"),
    blank=build,
    needs="transformers",
)
