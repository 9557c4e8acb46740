"""Networks that take no noise: equal to their library's own forward, at any size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.store.errors import InputError, SpecMismatchError
from torch import Tensor

TOLERANCE = {"atol": 1e-4, "rtol": 1e-5}
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 5}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def saved(folder: Path, model: Any) -> Path:
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


def randomise(model: Any) -> None:
    """Give every weight a value: a fresh network's norms, scales and positions do nothing."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


def dino(kind: str) -> tuple[Any, Any]:
    """A small random network, and the library's own extractor of all its maps."""
    import transformers as t

    torch.manual_seed(0)
    wanted = [f"stage{n}" for n in range(1, 6)]
    if kind == "dinov3":
        config = t.DINOv3ViTConfig(
            **SMALL, intermediate_size=64, image_size=64, patch_size=8, num_register_tokens=3
        )
        model, extractor = t.DINOv3ViTModel(config), t.DINOv3ViTBackbone
    elif kind == "registers":
        config = t.Dinov2WithRegistersConfig(**SMALL, image_size=56, patch_size=14)
        model, extractor = t.Dinov2WithRegistersModel(config), t.Dinov2WithRegistersBackbone
    else:
        config = t.Dinov2Config(**SMALL, image_size=56, patch_size=14)
        model, extractor = t.Dinov2Model(config), t.Dinov2Backbone
    randomise(model)
    plain = {k: v for k, v in config.to_dict().items() if k not in ("out_indices", "stage_names")}
    own = extractor(type(config)(**{**plain, "out_features": wanted})).eval()
    own.load_state_dict(model.state_dict(), strict=False)
    return model.eval(), own


@pytest.mark.parametrize("kind", ["dinov2", "registers", "dinov3"])
@pytest.mark.parametrize("shape", ["own", "wide"])
def test_dino_equals_its_librarys_own_maps(kind: str, shape: str, tmp_path: Path) -> None:
    model, own = dino(kind)
    folder = saved(tmp_path, model)
    patch = model.config.patch_size
    size = None if shape == "own" else (3 * patch, 5 * patch)
    backbone = load_backbone(folder, range(0), range(5), size=size, device="cpu")
    x = rows(*backbone.row_shape)
    with torch.inference_mode():
        expected = own(normalised(x), output_hidden_states=True).feature_maps
    assert backbone.describe()["kind"] == ("dinov3" if kind == "dinov3" else "dinov2")
    for layer, got, one in zip(backbone.layers, backbone(x), expected, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)


def test_dino_gives_its_last_four_blocks_unless_told(tmp_path: Path) -> None:
    backbone = load_backbone(saved(tmp_path, dino("dinov2")[0]), device="cpu")
    assert [layer.name for layer in backbone.layers] == ["1", "2", "3", "4"]
    assert backbone.row_shape == (56, 56)


def convnext(**different: Any) -> Any:
    import transformers as t

    torch.manual_seed(0)
    sizes = {"hidden_sizes": [8, 12, 16, 20], "depths": [2, 1, 3, 1], "image_size": 64}
    model = t.DINOv3ConvNextModel(t.DINOv3ConvNextConfig(**{**sizes, **different}))
    randomise(model)
    return model.eval()


@pytest.mark.parametrize("size", [None, (96, 64)])
@pytest.mark.parametrize("inputs", [False, True])
def test_convnext_equals_its_librarys_own_blocks(
    size: tuple[int, int] | None, inputs: bool, tmp_path: Path
) -> None:
    model = convnext()
    backbone = load_backbone(
        saved(tmp_path, model), blocks=range(7), size=size, inputs=inputs, device="cpu"
    )
    stages, seen = model.model.stages, []  # the stem's output, then each block's
    for module in [stages[0].downsample_layers[-1], *(b for s in stages for b in s.layers)]:
        module.register_forward_hook(lambda m, x, y: seen.append(y))
    x = rows(*backbone.row_shape)
    with torch.inference_mode():
        model(normalised(x))
    assert backbone.describe()["kind"] == "dinov3"
    expected = seen[:-1] if inputs else seen[1:]
    for layer, got, one in zip(backbone.layers, backbone(x), expected, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)


def test_convnext_gives_the_end_of_each_stage_unless_told(tmp_path: Path) -> None:
    backbone = load_backbone(saved(tmp_path, convnext()), device="cpu")
    assert [layer.name for layer in backbone.layers] == ["1", "2", "5", "6"]
    assert backbone.row_shape == (64, 64)
    with pytest.raises(InputError, match="cells of 32 pixels"):
        load_backbone(tmp_path, size=48)


def test_convnext_of_more_depths_than_stages_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, convnext())
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "depths": [2, 1, 3, 1, 1]}))
    with pytest.raises(InputError, match="expected as many of each"):
        load_backbone(folder)


@pytest.fixture
def mae_folder(tmp_path: Path) -> Path:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    torch.manual_seed(0)
    config = ViTMAEConfig(
        **SMALL,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_intermediate_size=32,
        decoder_num_attention_heads=2,
    )
    mae = ViTMAEForPreTraining(config)
    randomise(mae)
    return saved(tmp_path / "mae", mae)


@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_mae_of_transformers_equals_its_own_hidden_states(
    mae_folder: Path, size: tuple[int, int]
) -> None:
    from transformers import ViTMAEModel

    own = ViTMAEModel.from_pretrained(mae_folder, mask_ratio=0.0).eval()
    backbone = load_backbone(mae_folder, size=size, device="cpu")
    x, cells = rows(*size), (size[0] // 8, size[1] // 8)
    noise = torch.arange(cells[0] * cells[1]).expand(2, -1).float()
    with torch.inference_mode():
        hidden = own(
            normalised(x), noise=noise, interpolate_pos_encoding=True, output_hidden_states=True
        ).hidden_states[1:]
    for got, one in zip(backbone(x), hidden, strict=True):
        expected = one[:, 1:].transpose(1, 2).unflatten(2, cells)
        torch.testing.assert_close(got, expected, **TOLERANCE)


def test_features_of_a_trunk_do_not_depend_on_what_else_is_recorded(mae_folder: Path) -> None:
    x = rows(32, 32)
    every = load_backbone(mae_folder, device="cpu")(x)
    third = load_backbone(mae_folder, blocks=[2], device="cpu")
    assert len(third._trunk.blocks) == 3  # the others are not held
    torch.testing.assert_close(third(x)[0], every[2], **TOLERANCE)
    before = load_backbone(mae_folder, blocks=[2], inputs=True, device="cpu")(x)[0]
    torch.testing.assert_close(before, every[1], **TOLERANCE)


def resnet_state(width: int = 8) -> dict[str, Tensor]:
    """A random network with torchvision's names, as SwAV saves it: 2, 1, 1 and 1 blocks."""
    generator = torch.Generator().manual_seed(5)
    state: dict[str, Tensor] = {}

    def conv(name: str, *shape: int) -> None:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * scale

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.{part}"] = torch.randn(channels, generator=generator) * 0.1 + 1
        state[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 1
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)

    conv("conv1", width, 3, 7, 7)
    norm("bn1", width)
    into = width
    for stage, depth in enumerate((2, 1, 1, 1), 1):
        planes = width * 2 ** (stage - 1)
        for block in range(depth):
            name = f"layer{stage}.{block}"
            for number, shape in enumerate(
                ((planes, into, 1, 1), (planes, planes, 3, 3), (4 * planes, planes, 1, 1)), 1
            ):
                conv(f"{name}.conv{number}", *shape)
                norm(f"{name}.bn{number}", shape[0])
            if block == 0:
                conv(f"{name}.downsample.0", 4 * planes, into, 1, 1)
                norm(f"{name}.downsample.1", 4 * planes)
            into = 4 * planes
    state["prototypes.weight"] = torch.zeros(3, 4)
    return state


def plain_resnet(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Return the inputs of all blocks, then the last output, written out plainly."""
    from torch.nn.functional import batch_norm, conv2d, max_pool2d

    def step(name: str, norm: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        x = conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)
        parts = (state[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(x, *parts)

    h = max_pool2d(step("conv1", "bn1", x, 2, 3).relu(), 3, 2, 1)
    found = [h]
    for stage, depth in enumerate((2, 1, 1, 1), 1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = step(f"{name}.conv1", f"{name}.bn1", h).relu()
            inner = step(f"{name}.conv2", f"{name}.bn2", inner, stride, 1).relu()
            inner = step(f"{name}.conv3", f"{name}.bn3", inner)
            if block == 0:
                h = step(f"{name}.downsample.0", f"{name}.downsample.1", h, stride)
            h = (h + inner).relu()
            found.append(h)
    return found


@pytest.mark.parametrize("inputs", [True, False])
def test_a_resnet_equals_one_written_out_plainly(inputs: bool, tmp_path: Path) -> None:
    state = resnet_state()
    as_saved = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 1, "state_dict": as_saved}, tmp_path / "s.pth")
    backbone = load_backbone(
        tmp_path / "s.pth", blocks=range(5), size=(64, 96), inputs=inputs, device="cpu"
    )
    x = rows(64, 96)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    every = plain_resnet(state, ((x + 1) / 2 - mean) / std)
    expected = every[:-1] if inputs else every[1:]
    for layer, got, one in zip(backbone.layers, backbone(x), expected, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)
    spec = feature_spec(backbone, "squash")
    assert feature_spec(restore_backbone(spec, device="cpu"), "squash").hash == spec.hash
    usual = load_backbone(tmp_path / "s.pth", device="cpu")
    assert usual.describe()["record"] == "inputs"  # as published


def test_a_trunk_is_found_again_by_its_spec(mae_folder: Path, tmp_path: Path) -> None:
    backbone = load_backbone(mae_folder, blocks=[1, 3], pixels=True, device="cpu")
    spec = feature_spec(backbone, "squash")
    again = restore_backbone(type(spec).from_dict(spec.to_dict()), device="cpu")
    for one, other in zip(again(rows(32, 32)), backbone(rows(32, 32)), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    other_folder = saved(tmp_path / "dino", dino("dinov2")[0])
    with pytest.raises(SpecMismatchError, match="backbone kind"):
        restore_backbone(feature_spec(load_backbone(mae_folder, size=56), "squash"), other_folder)


def test_a_published_mae_with_other_heads_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "mae.pth"
    torch.save({"model": mae_state()}, path)
    backbone = load_backbone(path, heads=2, device="cpu")
    spec = feature_spec(backbone, "squash")
    again = restore_backbone(spec, device="cpu")
    assert feature_spec(again, "squash").hash == spec.hash
    assert backbone.describe()["architecture"]["num_attention_heads"] == 2


def plain_mae(state: dict[str, Tensor], x: Tensor, heads: int) -> list[Tensor]:
    """Return the patches' tokens after each block, written out plainly."""
    from torch.nn.functional import conv2d, gelu, layer_norm, linear

    def norm(name: str, h: Tensor) -> Tensor:
        return layer_norm(h, (16,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def dense(name: str, h: Tensor) -> Tensor:
        return linear(h, state[f"{name}.weight"], state[f"{name}.bias"])

    patches = conv2d(
        x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=8
    ).flatten(2)
    first = state["cls_token"].expand(len(x), -1, -1)
    h, found = torch.cat([first, patches.transpose(1, 2)], 1) + state["pos_embed"], []
    for block in range(2):
        name = f"blocks.{block}"
        qkv = dense(f"{name}.attn.qkv", norm(f"{name}.norm1", h)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in qkv)
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        h = h + dense(f"{name}.attn.proj", (weights @ v).transpose(1, 2).flatten(2))
        h = h + dense(f"{name}.mlp.fc2", gelu(dense(f"{name}.mlp.fc1", norm(f"{name}.norm2", h))))
        found.append(h[:, 1:].transpose(1, 2).unflatten(2, (2, 2)))
    return found


@pytest.mark.parametrize(("told", "heads"), [({"heads": 2}, 2), ({"head_channels": 4}, 4)])
def test_a_published_mae_equals_one_written_out_plainly(
    told: dict[str, int], heads: int, tmp_path: Path
) -> None:
    torch.save({"model": mae_state()}, tmp_path / "mae.pth")
    backbone = load_backbone(tmp_path / "mae.pth", device="cpu", **told)
    x = rows(16, 16)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    expected = plain_mae(mae_state(), ((x + 1) / 2 - mean) / std, heads)
    for got, one in zip(backbone(x), expected, strict=True):
        torch.testing.assert_close(got, one, **TOLERANCE)


def mae_state() -> dict[str, Tensor]:
    """Random weights under the published names: 2 blocks of 16 channels, 4 patches."""
    generator = torch.Generator().manual_seed(2)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 16),
        "pos_embed": (1, 5, 16),
        "patch_embed.proj.weight": (16, 3, 8, 8),
        "patch_embed.proj.bias": (16,),
        "norm.weight": (16,),
        "norm.bias": (16,),
        "decoder_pred.weight": (3, 3),
    }
    for block in range(2):
        for name, out, into in (
            ("attn.qkv", 48, 16),
            ("attn.proj", 16, 16),
            ("mlp.fc1", 64, 16),
            ("mlp.fc2", 16, 64),
        ):
            shapes[f"blocks.{block}.{name}.weight"] = (out, into)
            shapes[f"blocks.{block}.{name}.bias"] = (out,)
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{norm}.{part}": (16,) for part in ("weight", "bias")}
    return {key: torch.randn(shape, generator=generator) * 0.2 for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": [50]}, "steps cannot be set for this checkpoint: its network takes no noise"),
        ({"seed": 3}, "seed cannot be set for this checkpoint: its network takes no noise"),
        ({"blocks": [7]}, r"no blocks \[7\]: it has 0 to 4"),
        ({"blocks": [1, 1]}, r"blocks \[1\] are given more than once"),
        ({"size": 36}, "cells of 8 pixels, so both sides must be multiples of 8"),
        ({"heads": 4}, "heads cannot be set for this checkpoint: a transformers folder states it"),
        ({"schedule": "cosine"}, "schedule cannot be set"),
        ({"backbone": "swav"}, r"is a masked autoencoder \(MAE\), not a ResNet"),
        (
            {"backbone": "clip"},
            "unknown backbone 'clip': use one of handcrafted, ",
        ),
    ],
)
def test_what_a_trunk_cannot_do_is_refused(options: dict, words: str, mae_folder: Path) -> None:
    with pytest.raises(InputError, match=words):
        load_backbone(mae_folder, **options)


def test_checkpoints_that_are_not_whole_are_refused(mae_folder: Path, tmp_path: Path) -> None:
    state = mae_state()
    del state["blocks.1.mlp.fc2.weight"]
    torch.save(state, tmp_path / "cut.pth")
    told = {"heads": 2}
    with pytest.raises(InputError, match=r"are not those of the configuration \(missing keys: 1"):
        load_backbone(tmp_path / "cut.pth", **told)
    torch.save({**mae_state(), "blocks.0.gamma.weight": torch.ones(3)}, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"not a MAE checkpoint: it has 'blocks.0.gamma.weight'"):
        load_backbone(tmp_path / "odd.pth", **told)
    torch.save({"fc.weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"holds no network that dseg knows: .* 'fc.weight'"):
        load_backbone(tmp_path / "other.pth")
    (mae_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no weights: expected model.safetensors or"):
        load_backbone(mae_folder)
    (mae_folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="a transformers model of type 'bert': expected one of"):
        load_backbone(mae_folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "does not name a network: expected a _class_name .* or a model_type"),
        ({"model_type": ["vit_mae"]}, "transformers model of type"),
        ({"patch_size": [8, 8]}, r"patches of \[8, 8\] and images of 32: expected one side"),
        ({"image_size": 64}, r"not those of the configuration \(mismatched keys: 1\)"),
        ({"num_attention_heads": 3}, "not those of the configuration|cannot be shared by 3 heads"),
    ],
)
def test_configurations_that_are_not_the_weights_are_refused(
    change: dict, words: str, mae_folder: Path
) -> None:
    path = mae_folder / "config.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, **change} if change else {}))
    with pytest.raises(InputError, match=words):
        load_backbone(mae_folder)


def test_heads_that_do_not_share_the_channels_are_refused(tmp_path: Path) -> None:
    """The library lets them pass, and fails on the first image."""
    folder = saved(tmp_path, dino("dinov3")[0])
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_attention_heads": 3}))
    with pytest.raises(InputError, match="32 channels, which cannot be shared by 3 heads"):
        load_backbone(folder)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"image_mean": 0.5, "image_std": 0.25}, ((0.5,) * 3, (0.25,) * 3)),
        ({"image_mean": list(MEAN), "image_std": list(STD)}, (MEAN, STD)),
        ({"do_normalize": False, "image_mean": list(MEAN)}, ((0.0,) * 3, (1.0,) * 3)),
        ({}, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
    ],
)
def test_colours_are_normalised_as_the_processor_says(
    processor: dict, expected: tuple, mae_folder: Path
) -> None:
    (mae_folder / "preprocessor_config.json").write_text(json.dumps(processor))
    stated = load_backbone(mae_folder, device="cpu").describe()["normalisation"]
    assert (tuple(stated["mean"]), tuple(stated["std"])) == expected


@pytest.mark.parametrize(
    "processor",
    [
        {"image_std": [0, 0, 0]},
        {"image_mean": ["a", 0, 0]},
        {"image_mean": [0.5, 0.5]},
        {"image_mean": [0.5, 0.5, None]},
    ],
)
def test_colours_in_another_form_are_refused(processor: dict, mae_folder: Path) -> None:
    (mae_folder / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(InputError, match=r"states image_mean .*: expected a number, or three"):
        load_backbone(mae_folder)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (mae_state, {"foo": (1,)}, "not a MAE checkpoint: it has 'foo'"),
        (mae_state, {"blocks.x.y": (1,)}, "not a MAE checkpoint: it has 'blocks.x.y'"),
        (mae_state, {"blocks.0.ls1.gamma": (16,)}, "as DINOv2 and DINOv3, are taken as transf"),
        (mae_state, {"pos_embed": (5,)}, "it has 'pos_embed' of another shape"),
        (mae_state, {"pos_embed": None}, r"it lacks 'pos_embed'\. Other vision transformers"),
        (mae_state, {"blocks.0.mlp.fc1.weight": None}, "it lacks 'blocks.0.mlp.fc1.weight'"),
        (
            mae_state,
            {"patch_embed.proj.weight": (16, 3, 8, 4)},
            "the weights of the MAE checkpoint",
        ),
        (resnet_state, {"layer2.0.conv3.weight": None}, "it lacks 'layer2.0.conv3.weight'"),
        (resnet_state, {"layer1.0.se.fc1.weight": (3, 3)}, "it has 'layer1.0.se.fc1.weight'"),
        (resnet_state, {"layer1.0.conv2.weight": (8, 4, 3, 3)}, r"\(mismatched keys: 1\)"),
    ],
)
def test_files_of_another_form_are_refused(
    kind: Any, change: dict, words: str, tmp_path: Path
) -> None:
    state = kind()
    for key, shape in change.items():
        state.pop(key, None)
        if shape is not None:
            state[key] = torch.ones(shape)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(InputError, match=words):
        load_backbone(tmp_path / "x.pth", heads=2 if kind is mae_state else None)


def test_training_options_in_a_checkpoint_are_no_obstacle(tmp_path: Path) -> None:
    from argparse import Namespace

    torch.save({"model": mae_state(), "args": Namespace(lr=0.1)}, tmp_path / "mae.pth")
    assert load_backbone(tmp_path / "mae.pth", heads=2, device="cpu").row_shape == (16, 16)
    with pytest.raises(InputError, match="16 channels cannot be shared by 3 heads: give the"):
        load_backbone(tmp_path / "mae.pth", heads=3)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same_features(mae_folder: Path, precision: str) -> None:
    x = rows(32, 32)
    whole = load_backbone(mae_folder, device="cpu")(x)
    halved = load_backbone(mae_folder, precision=precision, device="cpu")(x)
    for one, other in zip(halved, whole, strict=True):
        assert (one - other).norm() < 0.03 * other.norm()
        assert not torch.equal(one, other)
