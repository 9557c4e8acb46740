"""Layers: each has a kind, and a timestep and a block only where it has one."""

import pytest
from dseg.store.errors import InputError
from dseg.store.spec import FeatureSpec, LayerSpec

LAYERS = (
    (
        LayerSpec(50, 6, 4, 8, 8),
        {"kind": "diffusion", "timestep": 50, "block": 6, "channels": 4, "height": 8, "width": 8},
        {"timestep": 50, "block": 6, "channels": 4, "height": 8, "width": 8},
    ),
    (
        LayerSpec.clean(11, 4, 8, 8),
        {"kind": "network", "block": 11, "channels": 4, "height": 8, "width": 8},
        {"timestep": -1, "block": 11, "channels": 4, "height": 8, "width": 8},
    ),
    (
        LayerSpec.extra("filters", 36, 8, 8),
        {"kind": "filters", "channels": 36, "height": 8, "width": 8},
        {"timestep": -2, "block": -2, "channels": 36, "height": 8, "width": 8},
    ),
    (
        LayerSpec.extra("pixels", 5, 8, 8),
        {"kind": "pixels", "channels": 5, "height": 8, "width": 8},
        {"timestep": -1, "block": -1, "channels": 5, "height": 8, "width": 8},
    ),
)


@pytest.mark.parametrize(("layer", "plain", "old"), LAYERS)
def test_a_layer_is_written_with_its_kind_and_read_without(layer, plain, old):
    assert layer.to_dict() == plain
    assert LayerSpec.from_dict(plain) == layer
    assert LayerSpec.from_dict(old) == layer


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "diffusion", "block": 6},
        {"kind": "network", "block": 6, "timestep": 50},
        {"kind": "network"},
        {"kind": "pixels", "block": 6},
        {"kind": "other", "block": 6, "timestep": 50},
    ],
)
def test_a_layer_that_cannot_be_is_refused(wrong):
    plain = FeatureSpec({}, "", (8, 8), "squash", 0, 0, (LAYERS[0][0],)).to_dict()
    plain["layers"] = [{"channels": 4, "height": 8, "width": 8, **wrong}]
    with pytest.raises(InputError, match="not a feature spec of format version 1"):
        FeatureSpec.from_dict(plain)
