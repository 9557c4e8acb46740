"""MobileNetV2 with the head of DeepLabV3+ (Chen et al., ECCV 2018), as transformers has it.

The released weights expect TensorFlow's padding: before a stride of 2 one line below and to the
right. transformers computes it from each map's size; here the sides of all maps are even, so it is
a constant, and the network can be exported with a height and width that may change.
"""

from typing import Any

from torch import Tensor, nn

from .geometry import enlarged, normalised, padded
from .hub_cache import with_cached_encoder
from .start import Start, StudentKind

__all__ = ["MOBILENET", "MobileNet", "build"]

STRIDE = 32
"""The input is padded to a multiple of it, so the sides of all maps before a stride are even."""

OUTPUT_STRIDE = 16
MEAN, STD = (0.5,) * 3, (0.5,) * 3
TRAINED = ("google/deeplabv3_mobilenet_v2_1.0_513", "google/mobilenet_v2_1.0_224")
"""On the hub, the preferred ones first."""
_MOMENTUM = 0.1  # of batch statistics; transformers has 0.997, TensorFlow's for the opposite
_DROPOUT = 0.2  # transformers has 0.8, TensorFlow's for the opposite


class MobileNet(nn.Module):
    """The network, with its input's size for its output.

    Parameters
    ----------
    model : transformers.MobileNetV2ForSemanticSegmentation
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.head = model.mobilenet_v2, model.segmentation_head
        del self.encoder.conv_1x1  # for classification
        _prepare(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → scores (B, C, H, W)."""
        whole = padded(normalised(x, MEAN, STD), STRIDE)
        h = self.encoder.conv_stem(whole)
        for block in self.encoder.layer:
            h = block(h)
        scores = enlarged(self.head(h), whole)
        return scores[:, :, : x.shape[2], : x.shape[3]]


def _prepare(network: nn.Module) -> None:
    """Replace what transformers pads by sizes, and what it took over from TensorFlow's habits."""
    for module in network.modules():
        part: Any = module
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = _MOMENTUM
        convolution = getattr(module, "convolution", None)
        if isinstance(convolution, nn.Conv2d):
            reach = convolution.dilation[0] * (convolution.kernel_size[0] - 1) // 2
            part.config = _SYMMETRIC
            if convolution.stride[0] == 1 or reach == 0:
                convolution.padding = (reach, reach)
            else:
                part.convolution = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), convolution)


class _Symmetric:
    """What transformers' convolutions look up while they run."""

    tf_padding = False


_SYMMETRIC = _Symmetric()


def build(n_classes: int) -> MobileNet:
    """Return the network with random weights.

    Raises
    ------
    ModuleNotFoundError
        If transformers is not installed.
    """
    return MobileNet(_model(n_classes))


def _model(n_classes: int) -> Any:
    from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

    config = MobileNetV2Config(
        num_labels=n_classes, output_stride=OUTPUT_STRIDE, classifier_dropout_prob=_DROPOUT
    )
    return MobileNetV2ForSemanticSegmentation(config)


def _begin(n_classes: int) -> Start:
    model = _model(n_classes)
    from transformers import MobileNetV2Model

    def put(encoder: nn.Module) -> None:
        model.mobilenet_v2.load_state_dict(encoder.state_dict(), strict=False)

    return with_cached_encoder(MobileNet(model), put, MobileNetV2Model, TRAINED)


MOBILENET = StudentKind(
    name="mobilenet",
    title="MobileNetV2 with DeepLabV3+",
    mean=MEAN,
    std=STD,
    begin=_begin,
    blank=build,
    needs="transformers",
)
