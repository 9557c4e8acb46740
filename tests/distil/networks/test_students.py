"""Every student: an image of any size in, scores of that size out; structures as published."""

import pytest
import torch
from dseg.distil.networks.fpn import TAPS
from dseg.distil.networks.fpn import build as build_fpn
from dseg.distil.networks.geometry import enlarged, normalised, padded
from dseg.distil.networks.mobilenet import MobileNet
from dseg.distil.networks.registry import KINDS, student_kind
from dseg.extract.networks.feedforward.efficientnet import MEAN, STD
from dseg.store.errors import InputError
from torch import nn

N_CLASSES = 5
# The large ones take long, and share what the others test.
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in ("deeplab", "mobilenet") else [])
    for name in KINDS
]


@pytest.fixture(scope="module")
def networks():
    """One of each, in evaluation mode, with what it says of its weights."""
    made = {}

    def get(name):
        if name not in made:
            torch.manual_seed(0)
            made[name] = KINDS[name].begin(N_CLASSES)
            calibrate(made[name].network.train(), made[name].network)
        return made[name]

    return get


def calibrate(network, run):
    """Set the statistics of normalisation to those of a batch: else random weights give zeros."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        run(batch(96, 64, count=2))
    network.eval()


def batch(height, width, count=1):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(33, 47), (1, 70), (64, 32)])
@torch.no_grad()
def test_scores_have_the_size_of_the_image_whatever_it_is(networks, name, size):
    scores = networks(name).network(batch(*size))
    assert scores.shape == (1, N_CLASSES, *size)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_padding_does_not_shift_an_image(networks, name):
    """An image of whole cells, and its upper left part, agree far from where the part ends."""
    x = batch(64, 96)
    x[:, :, 33:], x[:, :, :, 47:] = x[:, :, 32:33], x[:, :, :, 46:47]  # as it is padded
    network = networks(name).network
    part, whole = network(x[:, :, :33, :47]), network(padded(x[:, :, :33, :47], 32))
    if name == "deeplab":  # takes any size as it is
        assert part.shape[2:] == (33, 47)
    else:
        torch.testing.assert_close(part, whole[:, :, :33, :47], atol=1e-5, rtol=1e-4)


def test_a_network_begins_with_trained_weights_or_says_that_it_does_not(networks):
    assert networks("fpn").trained == "trunk"
    assert networks("deeplab").trained is None
    for name in ("segformer", "mobilenet"):
        if networks(name).trained is None:
            assert "the hub cache has neither of" in networks(name).origin


def test_weights_of_the_hub_cache_are_used(tmp_path, monkeypatch):
    from transformers import SegformerConfig, SegformerModel

    torch.manual_seed(3)
    saved = SegformerModel(SegformerConfig())
    saved.save_pretrained(tmp_path / "mit-b0")
    monkeypatch.setattr("dseg.distil.networks.segformer.TRAINED", (str(tmp_path / "mit-b0"),))
    start = KINDS["segformer"].begin(N_CLASSES)
    assert start.trained == "encoder"
    assert str(tmp_path) in start.origin
    of_cache = saved.state_dict()
    assert all(torch.equal(v, of_cache[k]) for k, v in start.network.encoder.state_dict().items())
    monkeypatch.setattr("dseg.distil.networks.segformer.TRAINED", (str(tmp_path / "none"),))
    start = KINDS["segformer"].begin(N_CLASSES)
    assert start.trained is None
    assert "random weights: the hub cache has neither of" in start.origin


@torch.no_grad()
def test_the_pyramid_stands_on_the_network_of_the_default_features():
    network, x = build_fpn(N_CLASSES).eval(), batch(64, 96)
    taps = network.trunk(normalised(x, MEAN, STD), TAPS, False)
    assert [64 // tap.shape[2] for tap in taps] == [2, 4, 8, 16, 32]


def parts(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def test_deeplab_has_the_structure_that_is_published(networks):
    """torchvision's deeplabv3_resnet101 of 21 classes has 60,996,202 weights, its auxiliary
    classifier, which is left out here, 2,365,205 of them."""
    network = networks("deeplab").network
    auxiliary = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
    of_classes = (21 - N_CLASSES) * (256 + 1)
    own = sum(weight.numel() for weight in network.parameters())
    assert own + of_classes == 60_996_202 - auxiliary
    rates = [
        [block.layer[1].convolution.dilation[0] for block in stage.layers]
        for stage in network.stages
    ]
    assert rates == [[1] * 3, [1] * 4, [1] + [2] * 22, [2, 4, 4]]
    strides = [stage.layers[0].layer[1].convolution.stride[0] for stage in network.stages]
    shortcuts = [stage.layers[0].shortcut.convolution.stride[0] for stage in network.stages]
    assert strides == shortcuts == [1, 2, 1, 1]
    aspp = [c.dilation[0] for branch in network.aspp.branches for c in parts(branch, nn.Conv2d)]
    assert aspp == [1, 12, 24, 36]
    assert [part.p for part in parts(network, nn.Dropout)] == [0.5]
    assert all(c.bias is None for c in parts(network, nn.Conv2d) if c is not network.classifier)


@torch.no_grad()
def test_deeplab_keeps_an_eighth_of_the_size(networks):
    network, x = networks("deeplab").network, batch(64, 96)
    h = network.embedder(x)
    for stage in network.stages:
        h = stage(h)
    assert h.shape == (1, 2048, 8, 12)


@torch.no_grad()
def test_mobilenet_is_that_of_transformers_where_sides_are_even():
    from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

    torch.manual_seed(0)
    config, x = MobileNetV2Config(num_labels=N_CLASSES, output_stride=16), batch(64, 96)
    theirs = MobileNetV2ForSemanticSegmentation(config).train()
    calibrate(theirs, theirs)
    expected = enlarged(theirs(normalised(x, [0.5] * 3, [0.5] * 3)).logits, x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(MobileNet(theirs).eval()(x), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_segformer_is_that_of_transformers():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    theirs = SegformerForSemanticSegmentation(SegformerConfig(num_labels=N_CLASSES)).eval()
    torch.manual_seed(0)
    kind, x = student_kind("segformer"), batch(64, 96)
    expected = enlarged(theirs(normalised(x, kind.mean, kind.std)).logits, x)
    torch.testing.assert_close(kind.blank(N_CLASSES).eval()(x), expected, atol=1e-5, rtol=1e-4)


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="no student network 'unet': use one of fpn, mobilenet"):
        student_kind("unet")
