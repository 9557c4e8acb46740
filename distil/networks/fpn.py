"""A feature pyramid on EfficientNet-Lite0: the student for use.

From the coarsest map to the finest, each level is the one above it, enlarged twice, plus a 1×1
convolution of the trunk's map of the same stride (Lin et al., "Feature Pyramid Networks", CVPR
2017), then a separable 3×3 convolution. The finest level has half of the input's size. The trunk is
the network of the default features, all of whose weights are trained; its normalisation is part of
its convolutions, and the pyramid has none. So a small batch, or a small image, disturbs nothing.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ...extract.checkpoints.builtin import IMAGENET
from ...extract.checkpoints.opening import open_checkpoint
from ...extract.networks.feedforward.efficientnet import MEAN, STD, EfficientNetTrunk
from .geometry import enlarged, normalised, padded
from .start import Start, StudentKind

__all__ = ["FPN", "FeaturePyramid", "build"]

STRIDE = 32
"""Of the coarsest map."""

TAPS = (1, 3, 5, 11, 16)
"""Blocks of the trunk whose outputs are used: the last of each stride, 2 to 32."""

WIDTHS = (48, 96, 128, 128, 160)
"""Channels of the pyramid's levels, from the finest."""


TAP_SCALE = 6.0
"""About the root mean square of the trunk's maps of photographs."""


class _Level(nn.Module):
    """The level above, enlarged, plus the trunk's map; then a separable convolution."""

    def __init__(self, above: int, lateral: int, width: int) -> None:
        super().__init__()
        self.above, self.lateral = nn.Conv2d(above, width, 1), nn.Conv2d(lateral, width, 1)
        self.mix = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
        )

    def forward(self, above: Tensor, tap: Tensor) -> Tensor:
        """(B, A, h, w), (B, T, 2h, 2w) → (B, width, 2h, 2w)."""
        lateral = self.lateral(tap)
        mixed: Tensor = self.mix(lateral + enlarged(self.above(above), lateral))
        return mixed


def _begin_evenly(convolution: nn.Conv2d, scale: float = 1.0) -> None:
    """Give a convolution weights with which activations of a scale leave it at 1, and no bias."""
    fan = convolution.weight[0].numel()
    nn.init.normal_(convolution.weight, std=fan**-0.5 / scale)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)


class FeaturePyramid(nn.Module):
    """A feature pyramid on a trunk.

    Parameters
    ----------
    trunk : EfficientNetTrunk
        Is trained.
    n_classes : int
    widths : sequence of int
        Channels of the levels, from the finest.
    """

    def __init__(
        self, trunk: EfficientNetTrunk, n_classes: int, widths: Sequence[int] = WIDTHS
    ) -> None:
        super().__init__()
        self.trunk = trunk
        laterals = [channels for channels, _, _ in trunk.shapes((STRIDE, STRIDE), inputs=False)]
        *fine, coarsest = (laterals[tap] for tap in TAPS)
        self.top = nn.Sequential(nn.Conv2d(coarsest, widths[-1], 1), nn.ReLU())
        self.levels = nn.ModuleList(
            _Level(above, lateral, width)
            for (width, above), lateral in zip(pairwise(widths), fine, strict=True)
        )
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(widths[0], n_classes, 1)
        self._begin()

    def _begin(self) -> None:
        """Draw weights with which every level begins at one scale: nothing else normalises it."""
        for level in (self.top, *self.levels):
            for name, module in level.named_modules():
                if isinstance(module, nn.Conv2d):
                    of_trunk = level is self.top or name == "lateral"
                    _begin_evenly(module, TAP_SCALE if of_trunk else 1.0)
        _begin_evenly(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → scores (B, C, H, W)."""
        whole = padded(x, STRIDE)
        *taps, coarsest = self.trunk(normalised(whole, MEAN, STD), TAPS, False)
        level = self.top(coarsest)
        for part, tap in zip(reversed(self.levels), reversed(taps), strict=True):
            level = part(level, tap)
        scores = enlarged(self.classifier(self.dropout(level)), whole)
        return scores[:, :, : x.shape[2], : x.shape[3]]


def build(n_classes: int) -> FeaturePyramid:
    """Return the network: the trunk with ImageNet's weights, the rest with random ones.

    Raises
    ------
    InputError
        If the package that holds the weights is missing or damaged.
    """
    state = open_checkpoint(IMAGENET).state or {}
    return FeaturePyramid(EfficientNetTrunk(state), n_classes)


def _begin(n_classes: int) -> Start:
    origin = "a trunk trained with ImageNet's labels, a random pyramid"
    return Start(build(n_classes), origin, trained="trunk")


FPN = StudentKind(
    name="fpn",
    title="feature pyramid on EfficientNet-Lite0",
    mean=MEAN,
    std=STD,
    begin=_begin,
    blank=build,
)
