"""Several networks over the same images: each sees its own rows, extra layers come once."""

from pathlib import Path

import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.concatenated import ConcatenatedBackbone
from dseg.extract.feature_spec import feature_spec
from dseg.store.read.joined_spec import joined_spec


def test_activations_come_first_then_each_extra_layer_of_the_first(diffusers_folder: Path) -> None:
    options = {"filters": True, "pixels": True, "device": "cpu"}
    one = load_backbone(diffusers_folder, [50], [1], **options)
    other = load_backbone(diffusers_folder, [150], [2, 3], size=32, **options)
    joined = ConcatenatedBackbone([one, other])
    spec = feature_spec(joined, "squash")
    assert spec == joined_spec([feature_spec(part, "squash") for part in (one, other)])
    assert (joined.layers, joined.source, joined.row_shape) == (
        spec.layers,
        spec.source,
        spec.row_shape,
    )
    generator = torch.Generator().manual_seed(1)
    small, large = (torch.rand(2, 3, n, n, generator=generator) * 2 - 1 for n in (16, 32))
    of_one, of_other = one(small), other(large)
    expected = [of_one[0], *of_other[:2], *of_one[1:]]
    for got, want, layer in zip(joined(small, large), expected, spec.layers, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        assert torch.equal(got, want)
