"""Backbones of transformers and SAM 2: equal to the library's own forward, at any size."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.feedforward.maps import last_of_each_size
from dseg.store.errors import InputError
from torch import Tensor

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
STAGES = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 2, 1]}
SWIN = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 2], "window_size": 4}
VIT = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 6,
    "intermediate_size": 32,
    "patch_size": 8,
}
SMALL: dict[str, dict[str, Any]] = {
    "convnext": {**STAGES, "image_size": 64},
    "convnextv2": {**STAGES, "image_size": 64},
    "resnet": {**STAGES, "embedding_size": 8},
    "swin": {**SWIN, "image_size": 64},
    "swinv2": {**SWIN, "image_size": 64},
    "focalnet": {
        "embed_dim": 8,
        "hidden_sizes": [16, 32, 64, 64],
        "depths": [1, 1, 2, 1],
        "image_size": 64,
    },
    "pvt_v2": {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 2, 2],
    },
    "vitdet": {**VIT, "image_size": 64, "pretrain_image_size": 64},
}
OTHERS = ("bit", "hgnet_v2", "hiera", "maskformer-swin", "rt_detr_resnet", "textnet")
"""With the library's own sizes, of up to 50 million weights."""


def network(model_type: str, **different: Any) -> Any:
    """A small random backbone that returns all of its stages."""
    import transformers as t
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES

    torch.manual_seed(0)
    settings = {**SMALL.get(model_type, {}), **different}
    config = type(t.AutoConfig.for_model(model_type))(**settings)
    config.out_features = [name for name in config.stage_names if name != "stem"]
    model = getattr(t, MODEL_FOR_BACKBONE_MAPPING_NAMES[model_type])(config)
    for parameter in model.parameters() if model_type in SMALL else ():  # large ones would overflow
        torch.nn.init.normal_(parameter, mean=0.1, std=0.2)
    return model.eval()


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    processor = {"image_mean": list(MEAN), "image_std": list(STD)}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def rows(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, height, width, generator=generator) * 2 - 1


def normalised(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((x + 1) / 2 - mean) / std


def assert_equals_its_own(model: Any, folder: Path, size: Any) -> None:
    stages = model.out_features
    backbone = load_backbone(folder, blocks=range(len(stages)), size=size, device="cpu")
    x = rows(*backbone.row_shape)
    with torch.inference_mode():
        expected = model(normalised(x)).feature_maps
    assert backbone.describe()["kind"] == "pyramid"
    for layer, got, one in zip(backbone.layers, backbone(x), expected, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)


@pytest.mark.parametrize("model_type", SMALL)
@pytest.mark.parametrize("size", [64, (64, 128)])
def test_a_backbone_equals_its_librarys_own_maps(
    model_type: str, size: Any, tmp_path: Path
) -> None:
    model = network(model_type)
    assert_equals_its_own(model, saved(model, tmp_path), size)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", OTHERS)
def test_large_backbones_do_too(model_type: str, tmp_path: Path) -> None:
    model = network(model_type)
    assert_equals_its_own(model, saved(model, tmp_path), None if model_type == "hiera" else 64)


def test_a_classifiers_weights_are_a_backbones(tmp_path: Path) -> None:
    """Classifiers lack the norms of each stage, which standardise a pixel's channels."""
    import transformers as t

    torch.manual_seed(0)
    config = t.ConvNextV2Config(**SMALL["convnextv2"])
    model = t.ConvNextV2ForImageClassification(config).eval()
    folder = saved(model, tmp_path)
    backbone = load_backbone(folder, device="cpu")
    x = rows(64, 64)
    with torch.inference_mode():
        hidden = model(normalised(x), output_hidden_states=True).hidden_states
    for got, one in zip(backbone(x), hidden[1:], strict=True):
        torch.testing.assert_close(got.mean(dim=1), torch.zeros_like(got[:, 0]), atol=1e-5, rtol=0)
        whitened = torch.nn.functional.layer_norm(one.permute(0, 2, 3, 1), one.shape[1:2], eps=1e-6)
        torch.testing.assert_close(got, whitened.permute(0, 3, 1, 2), **TOLERANCE)


def test_the_default_is_the_last_map_of_each_size(tmp_path: Path) -> None:
    backbone = load_backbone(saved(network("convnext"), tmp_path), device="cpu")
    assert [layer.name for layer in backbone.layers] == ["0", "1", "2", "3"]
    assert backbone.row_shape == (64, 64)
    vit = load_backbone(saved(network("vitdet"), tmp_path / "vit"), device="cpu")
    assert [layer.name for layer in vit.layers] == ["2", "3", "4", "5"]
    assert last_of_each_size([(8, 4, 4)]) == (0,)


def test_a_spec_finds_its_network_again(tmp_path: Path) -> None:
    folder = saved(network("swin"), tmp_path)
    one = load_backbone(folder, blocks=[1, 2], size=(64, 96), device="cpu")
    spec = feature_spec(one, "squash")
    again = restore_backbone(type(spec).from_dict(spec.to_dict()), device="cpu")
    assert torch.equal(again(rows(64, 96))[0], one(rows(64, 96))[0])


def test_precision_and_mirroring(tmp_path: Path) -> None:
    folder, x = saved(network("convnextv2"), tmp_path), rows(64, 64)
    plain = load_backbone(folder, blocks=[1], device="cpu")
    half = load_backbone(folder, blocks=[1], precision="bfloat16", device="cpu")(x)[0]
    assert half.dtype == torch.float32
    assert not torch.equal(half, plain(x)[0])
    torch.testing.assert_close(half, plain(x)[0], atol=0.1, rtol=0.1)
    flipped = load_backbone(folder, blocks=[1], flip=True, device="cpu")(x)[0]
    mean = (plain(x)[0] + plain(x.flip(3))[0].flip(3)) / 2
    torch.testing.assert_close(flipped, mean, **TOLERANCE)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"blocks": [7]}, r"has no blocks \[7\]: it has 0 to 5"),
        ({"blocks": [1, 1]}, r"blocks \[1\] are given more than once"),
        ({"inputs": True}, "inputs cannot be set"),
        ({"heads": 3}, "heads cannot be set for this checkpoint"),
        ({"steps": [5]}, "steps cannot be set"),
    ],
)
def test_what_does_not_fit_is_refused(told: dict[str, Any], words: str, tmp_path: Path) -> None:
    steps = told.pop("steps", None)
    with pytest.raises(InputError, match=words):
        load_backbone(saved(network("vitdet"), tmp_path), steps, device="cpu", **told)


def test_a_size_that_a_network_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = saved(network("convnext"), tmp_path)
    with pytest.raises(InputError, match=r"failed for an image of 16x64 pixels.*another --size"):
        load_backbone(folder, size=(16, 64))


def test_other_weights_and_types_are_refused(tmp_path: Path) -> None:
    folder = saved(network("convnext"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "depths": [1, 1, 3, 1]}))
    with pytest.raises(InputError, match=r"not those of the configuration \(missing keys: "):
        load_backbone(folder)
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(InputError, match=r"type 'bert': expected one of .*such as convnextv2"):
        load_backbone(folder)


def sam2(video: bool) -> Any:
    import transformers as t

    torch.manual_seed(0)
    hiera = t.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 2],
        global_attention_blocks=[3],
    )
    vision = t.Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=16,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2}
    parts: dict[str, Any] = {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 16, "image_size": 64},
        "mask_decoder_config": {**decoder, "iou_head_hidden_dim": 16},
    }
    if not video:
        return t.Sam2Model(t.Sam2Config(**parts)).eval()
    memory = {
        f"memory_{part}": 16
        for part in (
            "attention_hidden_size",
            "attention_feed_forward_hidden_size",
            "encoder_hidden_size",
            "fuser_embed_dim",
            "fuser_intermediate_dim",
        )
    }
    settings = {"memory_attention_num_layers": 1, "memory_encoder_output_channels": 8}
    config = t.Sam2VideoConfig(
        **parts, **memory, **settings, mask_downsampler_embed_dim=16, image_size=64
    )
    return t.Sam2VideoModel(config).eval()


@pytest.mark.parametrize("video", [False, True])
@pytest.mark.parametrize("size", [None, (64, 96)])
def test_sam_2_equals_its_librarys_own_pyramid(video: bool, size: Any, tmp_path: Path) -> None:
    model = sam2(video)
    backbone = load_backbone(saved(model, tmp_path), size=size, device="cpu")
    assert backbone.row_shape == (size or (64, 64))
    x = rows(*backbone.row_shape)
    with torch.inference_mode():
        own = model.vision_encoder(normalised(x)).fpn_hidden_states
    expected = sorted(own, key=lambda one: -one.shape[-1])
    assert backbone.describe()["kind"] == "sam2"
    assert [layer.name for layer in backbone.layers] == ["0", "1", "2"]
    for got, one in zip(backbone(x), expected, strict=True):
        torch.testing.assert_close(got, one, **TOLERANCE)
