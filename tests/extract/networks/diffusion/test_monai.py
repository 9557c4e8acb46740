"""MONAI's DiffusionModelUNet: every decoder block equals its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.diffusion.noise import NoiseSchedule, q_sample, shared_noise
from dseg.extract.networks.diffusion.unet import LUMA
from dseg.store.errors import InputError
from torch import Tensor, nn

TOLERANCE = {"atol": 2e-5, "rtol": 1e-5}
SMALL: dict[str, Any] = {
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 3,
    "num_res_blocks": 2,
    "channels": (8, 16),
    "attention_levels": (False, True),
    "norm_num_groups": 4,
    "num_head_channels": 4,
}
TOLD = {"head_channels": 4, "norm_groups": 4, "size": (16, 24), "device": "cpu"}
ROWS = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


def network(**different: Any) -> Any:
    from monai.networks.nets import DiffusionModelUNet

    torch.manual_seed(0)
    made = DiffusionModelUNet(**{**SMALL, **different}).eval()
    for parameter in made.parameters():  # some begin as zeros
        nn.init.normal_(parameter, std=0.2)
    return made


def saved(made: Any, path: Path) -> Path:
    torch.save({"state_dict": made.state_dict(), "epoch": 3}, path)
    return path


@torch.inference_mode()
def blocks(made: Any, x: Tensor, t: int, inputs: bool, **conditions: Any) -> list[Tensor]:
    """The decoder's maps as the library computes them: residual block, attention, upsampler."""
    found: dict[int, Tensor] = {}
    handles, number = [], 0

    def keep(at: int) -> Any:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            found[at] = given[0] if inputs else output

        return hook

    for level in made.up_blocks:
        for place, resnet in enumerate(level.resnets):
            attentions = getattr(level, "attentions", None)
            ends = resnet if attentions is None else attentions[place]
            if place == len(level.resnets) - 1 and level.upsampler is not None:
                ends = level.upsampler
            handles.append((resnet if inputs else ends).register_forward_hook(keep(number)))
            number += 1
    made(x, torch.full((len(x),), t), **conditions)
    for handle in handles:
        handle.remove()
    return [found[n] for n in range(number)]


@pytest.mark.parametrize(
    "different",
    [
        {},
        {"resblock_updown": True},
        {"use_combined_linear": True},
        {"include_fc": False},
        {"attention_levels": (True, False), "channels": (16, 8), "num_res_blocks": 1},
        {"in_channels": 1, "out_channels": 1},
    ],
)
@pytest.mark.parametrize("inputs", [False, True])
def test_every_block_equals_the_librarys_own(
    different: dict[str, Any], inputs: bool, tmp_path: Path
) -> None:
    made = network(**different)
    path, channels = saved(made, tmp_path / "net.pt"), different.get("in_channels", 3)
    depth = 2 * (1 + different.get("num_res_blocks", 2))
    backbone = load_backbone(path, [70], range(depth), inputs=inputs, **TOLD)
    seen = ROWS if channels == 3 else (ROWS * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, True)
    noise = shared_noise(0, (16, 24), channels)
    (x,) = q_sample(seen, [70], noise, NoiseSchedule.named("linear"))
    assert backbone.describe()["kind"] == "monai"
    expected = blocks(made, x, 70, inputs)
    for layer, got, one in zip(backbone.layers, backbone(ROWS), expected, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)


def test_names_of_monai_generative_are_read_too(tmp_path: Path) -> None:
    made = network()
    old = {
        key.replace(".attn.out_proj.", ".proj_attn.")
        .replace(".attn.", ".")
        .replace(".postconv.", ".conv."): value
        for key, value in made.state_dict().items()
    }
    network().load_old_state_dict(dict(old))  # the library's own reader takes them so
    torch.save(old, tmp_path / "old.pt")
    new = load_backbone(saved(made, tmp_path / "new.pt"), [5], [1], **TOLD)
    again = load_backbone(tmp_path / "old.pt", [5], [1], **TOLD)
    assert torch.equal(again(ROWS)[0], new(ROWS)[0])


def test_a_spec_finds_what_a_file_does_not_show(tmp_path: Path) -> None:
    path = saved(network(num_class_embeds=3), tmp_path / "net.pt")
    told = {**TOLD, "class_number": 2, "schedule": "cosine", "diffusion_steps": 500}
    one = load_backbone(path, [5], [1], **told)
    again = restore_backbone(feature_spec(one, "squash"), device="cpu")
    assert torch.equal(again(ROWS)[0], one(ROWS)[0])


def test_a_class_is_added_as_the_library_does(tmp_path: Path) -> None:
    made = network(num_class_embeds=3)
    path = saved(made, tmp_path / "net.pt")
    backbone = load_backbone(path, [70], range(6), class_number=2, **TOLD)
    (x,) = q_sample(ROWS, [70], shared_noise(0, (16, 24)), NoiseSchedule.named("linear"))
    expected = blocks(made, x, 70, False, class_labels=torch.tensor([2, 2]))
    for got, one in zip(backbone(ROWS), expected, strict=True):
        torch.testing.assert_close(got, one, **TOLERANCE)


@pytest.mark.parametrize(
    ("different", "told", "words"),
    [
        ({"spatial_dims": 3}, {}, r"has the shape \(8, 3, 3, 3, 3\): expected one of 2-D images"),
        ({"in_channels": 4}, {}, r"takes 4 channels: expected 1 \(grey\) or 3 \(RGB\)"),
        (
            {"with_conditioning": True, "cross_attention_dim": 4},
            {},
            "attends to a condition",
        ),
        ({"num_res_blocks": (1, 2)}, {}, r"\[1, 2\] residual blocks a level: expected as many"),
        ({}, {"norm_groups": 32}, "split by 32 groups of its normalisation.*--norm-groups"),
        ({}, {"head_channels": 5}, "split by 5 channels a head.*--head-channels"),
        ({"num_class_embeds": 3}, {}, "class-conditional network of 3 classes.*--class-number 0"),
        ({"num_class_embeds": 3}, {"class_number": 3}, "classes 0 to 2, so there is no class 3"),
        ({}, {"class_number": 3}, "without classes: leave out --class-number 3"),
        ({}, {"size": None}, "does not state its image size: give one"),
        ({}, {"heads": 2}, "heads cannot be set for this checkpoint"),
    ],
)
def test_what_cannot_be_used_is_refused(
    different: dict[str, Any], told: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = saved(network(**different), tmp_path / "net.pt")
    with pytest.raises(InputError, match=words):
        load_backbone(path, [5], [1], **{**TOLD, **told})


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["up_blocks.1.resnets.0.norm2.weight"]
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"not MONAI's DiffusionModelUNet as expected: weights 1"):
        load_backbone(tmp_path / "net.pt", [5], [1], **TOLD)
