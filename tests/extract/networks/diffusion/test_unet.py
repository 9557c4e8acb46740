import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.layers.filters import filter_maps
from dseg.extract.networks.defaults import (
    choose_blocks,
    choose_size,
    choose_steps,
    default_blocks,
    small_network_blocks,
)
from dseg.extract.networks.diffusion.noise import q_sample, shared_noise
from dseg.extract.networks.options import BackboneOptions
from dseg.extract.registry import load_unet
from dseg.store.errors import InputError
from dseg.store.spec import FeatureSpec
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


def rows(batch: int, height: int = 16, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.rand(batch, 3, height, width, generator=generator) * 2 - 1


def assert_same(got: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


# --- activations


@pytest.mark.parametrize("kind", ["guided_file", "diffusers_folder"])
@pytest.mark.parametrize("inputs", [False, True])
def test_layers_tell_the_shapes(kind: str, inputs: bool, request: pytest.FixtureRequest) -> None:
    checkpoint: Path = request.getfixturevalue(kind)
    backbone = load_backbone(
        checkpoint, (7, 3), (0, 1, 2, 3), size=(16, 24), inputs=inputs, device="cpu"
    )
    maps = backbone(rows(2, 16, 24))
    for layer, activation in zip(backbone.layers, maps, strict=True):
        assert activation.shape == (2, layer.channels, layer.height, layer.width)
        assert activation.dtype == torch.float32
    assert [(layer.timestep, layer.block) for layer in backbone.layers] == [
        (step, block) for step in (7, 3) for block in range(4)
    ]


@pytest.mark.parametrize("centred", [False, True])
def test_blocks_are_the_places_in_the_network(
    centred: bool, diffusers_folder: Path, tmp_path: Path
) -> None:
    """Also where the network itself brings [0, 1] to [-1, 1] first."""
    folder = copy(diffusers_folder, tmp_path)
    config = json.loads((folder / "unet/config.json").read_text())
    (folder / "unet/config.json").write_text(json.dumps({**config, "center_input_sample": centred}))
    loaded = load_unet(folder)
    unet, found, taken = loaded.unet, [], []
    low, high = unet.up_blocks
    places = [
        low.attentions[0], low.attentions[1], low.upsamplers[0],
        high.resnets[0], high.resnets[1], high.resnets[2],
    ]  # fmt: skip
    for place in places:
        place.register_forward_hook(lambda _, __, output: found.append(output))
    for resnet in [*low.resnets, *high.resnets]:
        resnet.register_forward_hook(lambda _, arguments, __: taken.append(arguments[0]))
    x = rows(1)
    x_t = q_sample(x, [20], shared_noise(5, (16, 16)), loaded.schedule)[0]
    with torch.inference_mode():
        unet(x_t, 20)
    ours = load_backbone(folder, [20], range(6), seed=5, device="cpu")
    assert_same(ours(x), found)
    ours = load_backbone(folder, [20], range(6), seed=5, inputs=True, device="cpu")
    assert_same(ours(x), taken)


@pytest.mark.parametrize("kind", ["guided_file", "diffusers_folder"])
def test_batches_steps_and_blocks_do_not_change_an_activation(
    kind: str, request: pytest.FixtureRequest
) -> None:
    checkpoint: Path = request.getfixturevalue(kind)
    x = rows(3)
    together = load_backbone(checkpoint, (50, 9), (1, 3), size=16, device="cpu")
    maps = together(x)
    for image in range(3):
        alone = together(x[image : image + 1].numpy())
        assert_same(alone, [activation[image : image + 1] for activation in maps])
    for number, layer in enumerate(together.layers):
        single = load_backbone(checkpoint, [layer.timestep], [layer.block], size=16, device="cpu")
        assert_same(single(x), [maps[number]])


def test_noise_differs_by_seed_alone(guided_file: Path) -> None:
    x = rows(1)
    first, same, other = (
        load_backbone(guided_file, [50], [0], size=16, seed=seed, device="cpu")(x)[0]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.allclose(first, other, atol=1e-2)


def test_nothing_past_the_last_block_is_computed(diffusers_folder: Path) -> None:
    def operations(run: Callable[[], object]) -> int:
        with FlopCounterMode(display=False) as counter:
            run()
        return int(counter.get_total_flops())

    def backbone_operations(block: int, inputs: bool) -> int:
        backbone = load_backbone(diffusers_folder, [9], [block], inputs=inputs, device="cpu")
        return operations(lambda: backbone(x))

    x = rows(1)
    unet = load_unet(diffusers_folder).unet
    with torch.inference_mode():
        whole = operations(lambda: unet(x, 9))
        last_convolution = operations(lambda: unet.conv_out(torch.zeros(1, 32, 16, 16)))
    costs = [backbone_operations(block, inputs=False) for block in range(6)]
    assert costs == sorted(set(costs))
    assert costs[-1] == whole - last_convolution
    assert [backbone_operations(block, inputs=True) for block in range(1, 6)] == costs[:-1]


def test_convolutions_run_in_full_float32(guided_file: Path) -> None:
    cudnn = torch.backends.cudnn
    seen = []
    loaded = load_unet(guided_file)
    loaded.unet.conv_in.register_forward_hook(
        lambda *_: seen.append((cudnn.allow_tf32, cudnn.enabled))
    )
    before = (cudnn.allow_tf32, cudnn.enabled)
    loaded.backbone(BackboneOptions(steps=[5], blocks=[0], device="cpu"))(rows(1, 32, 32))
    assert seen == [(False, True)]
    assert (cudnn.allow_tf32, cudnn.enabled) == before


def test_rows_of_another_shape_are_refused(guided_file: Path) -> None:
    backbone = load_backbone(guided_file, device="cpu")
    with pytest.raises(
        InputError, match=r"\(1, 3, 8, 16\), but this .* takes \(any number, 3, 32, 32"
    ):
        backbone(rows(1, 8, 16))


# --- what describes it


def test_the_spec_tells_the_recipe(guided_file: Path) -> None:
    backbone = load_backbone(guided_file, heads=4, schedule="cosine", diffusion_steps=400, seed=2)
    spec = feature_spec(backbone, "squash", overlap=3)
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.backbone["architecture"]["heads"] == 4
    assert spec.backbone["schedule"] == {"name": "cosine", "timesteps": 400}
    assert (spec.source, spec.noise_seed, spec.overlap) == (str(guided_file), 2, 0)
    assert (spec.steps, spec.blocks, spec.row_shape) == ((20, 60, 100), (0, 2), (32, 32))
    assert feature_spec(backbone, "tile", overlap=3).overlap == 3


def test_what_changes_the_activations_changes_the_hash(guided_file: Path) -> None:
    variants = [
        {},
        {"heads": 2},
        {"attention_order": "new"},
        {"schedule": "cosine"},
        {"inputs": True},
        {"seed": 1},
        {"size": 16},
    ]
    hashes = {
        feature_spec(load_backbone(guided_file, [5], [0], **options), "squash").hash  # type: ignore[arg-type]
        for options in variants
    }
    assert len(hashes) == len(variants)
    moved = guided_file.rename(guided_file.with_name("moved.pt"))
    assert feature_spec(load_backbone(moved, [5], [0]), "squash").hash in hashes


# --- choices


@pytest.mark.parametrize(
    "told",
    [
        {"inputs": True},
        {"schedule": "cosine", "diffusion_steps": 500, "heads": 2},
        {"head_channels": 16, "attention_order": "new"},
    ],
)
def test_what_a_file_was_told_is_told_again(guided_file: Path, told: dict) -> None:
    backbone = load_backbone(guided_file, [3], [1], device="cpu", **told)
    again = restore_backbone(feature_spec(backbone, "squash"), device="cpu")
    x = rows(1, 32, 32)
    assert torch.equal(again(x)[0], backbone(x)[0])


def test_default_blocks_are_found_by_stride() -> None:
    lsun = [32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1]
    assert default_blocks(lsun) == (5, 6, 7, 8, 12)
    three_blocks_a_level = [stride for stride in (32, 16, 8, 4, 2, 1) for _ in range(4)]
    assert default_blocks(three_blocks_a_level) == (8, 9, 10, 11, 12, 17)
    assert default_blocks([1, 1, 1]) == ()


def test_the_card_of_a_folder_gives_the_defaults(diffusers_folder: Path, tmp_path: Path) -> None:
    folder = copy(diffusers_folder, tmp_path)
    (folder / "dseg.json").write_text('{"steps": [30, 10], "blocks": [4, 2]}')
    spec = feature_spec(load_backbone(folder), "squash")
    assert (spec.steps, spec.blocks) == ((30, 10), (2, 4))
    spec = feature_spec(load_backbone(folder, [1], [0]), "squash")
    assert (spec.steps, spec.blocks) == ((1,), (0,))
    plain = feature_spec(load_backbone(diffusers_folder, [1], [0]), "squash")
    assert spec.hash == plain.hash
    (folder / "dseg.json").write_text('{"steps": "50"}')
    with pytest.raises(InputError, match="'steps' must be a list of whole numbers, got '50'"):
        load_backbone(folder)


def copy(folder: Path, target: Path) -> Path:
    for path in folder.rglob("*.*"):
        (target / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (target / path.relative_to(folder)).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blocks": [1, 6]}, r"no decoder blocks \[6\]; it has 0 \(stride 4\), 1 \(stride 2\), 2"),
        ({"blocks": [2, 1, 2]}, r"blocks \[2\] are given more than once"),
        ({"blocks": []}, "no blocks are given; it has 0"),
        ({"steps": [50, 1000]}, r"steps \[1000\] are outside the schedule: give some of 0 to 999"),
        ({"steps": [-1]}, r"steps \[-1\] are outside"),
        ({"steps": [5, 5]}, r"steps \[5\] are given more than once"),
        ({"steps": []}, "no steps are given"),
        ({"size": 15}, "multiples of 4: got 15x15, the nearest is 16x16"),
        ({"device": "warp"}, "there is no device 'warp' here: Expected one of cpu, cuda"),
        ({"size": (16, 0)}, "got 16x0, the nearest is 16x4"),
    ],
)
def test_a_choice_the_network_does_not_have_is_refused(
    options: dict[str, object], words: str, guided_file: Path
) -> None:
    with pytest.raises(InputError, match=words):
        load_backbone(guided_file, **options)  # type: ignore[arg-type]


def test_choices_without_a_default_are_asked_for() -> None:
    with pytest.raises(InputError, match=r"no default blocks .* choose some of 0 \(stride 1\)"):
        choose_blocks(None, [1])
    with pytest.raises(InputError, match="does not state its image size"):
        choose_size(None, None, 4)
    assert choose_steps(None, 4) == (0, 1)
    assert choose_size(64, None, 4) == (64, 64)


def test_a_schedule_that_is_shorter_scales_the_steps(diffusers_folder: Path) -> None:
    loaded = load_unet(diffusers_folder)
    assert loaded.schedule.timesteps == 500
    np.testing.assert_allclose(np.sqrt(loaded.schedule.betas[[0, -1]]), np.sqrt([0.00085, 0.012]))
    assert loaded.backbone(BackboneOptions(blocks=[0])).steps == (25, 75, 125)


# --- layers that are no activations


def test_filters_stand_between_the_activations_and_colour_and_place(guided_file: Path) -> None:
    plain = load_backbone(guided_file, (7, 3), (0, 2), size=(16, 24), device="cpu")
    backbone = load_backbone(
        guided_file, (7, 3), (0, 2), size=(16, 24), filters=True, pixels=True, device="cpu"
    )
    x = rows(2, 16, 24)
    *maps, filters, pixels = backbone(x)
    assert_same(maps, plain(x))
    assert torch.equal(filters, filter_maps(x))
    assert torch.equal(pixels[:, :3], x)
    assert [str(layer) for layer in backbone.layers[-2:]] == ["filters", "colour and position"]
    shapes = [(layer.channels, layer.height, layer.width) for layer in backbone.layers]
    assert shapes[-2:] == [tuple(filters.shape[1:]), tuple(pixels.shape[1:])]


def test_colour_and_place_are_a_last_layer(guided_file: Path) -> None:
    plain = load_backbone(guided_file, (7, 3), (0, 2), size=(16, 24), device="cpu")
    backbone = load_backbone(guided_file, (7, 3), (0, 2), size=(16, 24), pixels=True, device="cpu")
    x = rows(2, 16, 24)
    *maps, pixels = backbone(x)
    assert_same(maps, plain(x))
    layer = backbone.layers[-1]
    assert pixels.shape == (2, layer.channels, layer.height, layer.width) == (2, 5, 16, 24)
    assert torch.equal(pixels[:, :3], x)
    y = torch.tensor([(i + 0.5) / 16 * 2 - 1 for i in range(16)])
    place_x = torch.tensor([(i + 0.5) / 24 * 2 - 1 for i in range(24)])
    torch.testing.assert_close(pixels[1, 3], y[:, None].expand(16, 24))
    torch.testing.assert_close(pixels[1, 4], place_x.expand(16, 24))


@pytest.mark.parametrize(
    ("name", "words"), [("filters", "filters"), ("pixels", "colour and position")]
)
def test_an_extra_layer_makes_another_recipe(guided_file: Path, name: str, words: str) -> None:
    one, other = (
        feature_spec(
            load_backbone(guided_file, (7,), (0,), size=16, device="cpu", **{name: wanted}),
            "squash",
        )
        for wanted in (True, False)
    )
    assert one.hash != other.hash
    assert getattr(one, name)
    assert not getattr(other, name)
    assert (one.steps, one.blocks) == (other.steps, other.blocks) == ((7,), (0,))
    assert one.differences(other, ("a", "b")) == [
        f"{words} are among the layers of a only (--{name})"
    ]
    assert FeatureSpec.from_dict(one.to_dict()) == one
    assert restore_backbone(one, device="cpu").layers == one.layers


def test_a_card_decides_on_size_and_extras(diffusers_folder: Path) -> None:
    card = diffusers_folder / "dseg.json"
    before = card.read_text() if card.exists() else None
    try:
        layers = {"blocks": [0], "steps": [1]}
        card.write_text(json.dumps({**layers, "size": [16, 24], "filters": True, "pixels": True}))
        backbone = load_backbone(diffusers_folder, device="cpu")
        assert backbone.row_shape == (16, 24)
        assert [str(layer) for layer in backbone.layers] == [
            "block 0 at step 1",
            "filters",
            "colour and position",
        ]
        plain = load_backbone(diffusers_folder, filters=False, pixels=False, size=16, device="cpu")
        assert len(plain.layers) == 1
        assert plain.row_shape == (16, 16)
        card.write_text(json.dumps({"size": "large"}))
        with pytest.raises(InputError, match=r"'size' must be a side or \[height, width\]"):
            load_backbone(diffusers_folder, device="cpu")
    finally:
        card.unlink() if before is None else card.write_text(before)


@pytest.mark.parametrize(
    ("strides", "expected"),
    [
        ((8, 4, 4, 2, 2, 1, 1, 1), (0, 2, 4, 6)),
        ((16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1), (3, 6, 9, 12)),
        ((4, 2, 2, 1, 1, 1), (0, 2, 4)),
    ],
)
def test_blocks_of_small_networks(strides: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert small_network_blocks(strides) == expected


# --- precision


@pytest.mark.parametrize("kind", ["guided_file", "diffusers_folder"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_other_features(
    kind: str, precision: str, request: pytest.FixtureRequest
) -> None:
    checkpoint: Path = request.getfixturevalue(kind)
    told = {"steps": (50,), "blocks": (0, 1, 2, 3), "size": 16, "filters": True, "device": "cpu"}
    whole = load_backbone(checkpoint, **told)
    half = load_backbone(checkpoint, precision=precision, **told)
    pairs = list(zip(half(rows(2)), whole(rows(2)), strict=True))
    errors = [float((a - b).norm() / b.norm()) for a, b in pairs]
    assert {a.dtype for a, _ in pairs} == {torch.float32}
    assert 1e-5 < max(errors[:-1]) < {"bfloat16": 5e-2, "float16": 5e-3}[precision]
    assert errors[-1] == 0  # the filters are not of the network
    specs = [feature_spec(backbone, "squash") for backbone in (whole, half)]
    assert specs[0].hash != specs[1].hash
    assert "precision" in "; ".join(specs[0].differences(specs[1], ("a", "b")))
    assert "precision" not in specs[0].backbone  # features of old have the hash they had
    again = restore_backbone(specs[1], device="cpu")
    assert_same(again(rows(2)), half(rows(2)))


def test_normalisation_and_the_embedding_of_the_timestep_stay_float32(guided_file: Path) -> None:
    backbone = load_backbone(guided_file, size=16, device="cpu", precision="bfloat16")
    decoder = backbone._decoder
    seen: dict[str, set[torch.dtype]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: object, inputs: object, output: Tensor) -> None:
            seen.setdefault(name, set()).add(output.dtype)

        return hook

    for module in decoder.modules():
        if isinstance(module, torch.nn.GroupNorm | torch.nn.Conv2d):
            module.register_forward_hook(note(type(module).__name__))
    decoder.time_embedding.register_forward_hook(note("embedding"))
    backbone(rows(1))
    assert seen == {
        "GroupNorm": {torch.float32},
        "Conv2d": {torch.bfloat16},
        "embedding": {torch.float32},
    }


def test_a_precision_that_there_is_not_is_refused(guided_file: Path) -> None:
    with pytest.raises(InputError, match="precision must be one of float32, float16, bfloat16"):
        load_backbone(guided_file, device="cpu", precision="float8")  # type: ignore[arg-type]


@pytest.mark.parametrize("scale_shift", ["default", "scale_shift"])
@pytest.mark.parametrize("resample", ["resnet", "conv"])
def test_residual_blocks_in_place_give_the_same_bits(scale_shift: str, resample: str) -> None:
    from copy import deepcopy

    from diffusers import UNet2DModel
    from dseg.extract.networks.diffusion.inplace_resblock import work_in_place

    torch.manual_seed(0)
    plain = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        resnet_time_scale_shift=scale_shift,
        downsample_type=resample,
        upsample_type=resample,
    ).eval()
    in_place = deepcopy(plain)
    work_in_place(in_place)
    assert any("forward" in vars(module) for module in in_place.modules())
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([5, 250])
    given = x.clone()
    with torch.inference_mode():
        assert torch.equal(in_place(x, t).sample, plain(x, t).sample)
    assert torch.equal(x, given)
