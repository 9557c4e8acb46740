from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.networks.diffusion.guided_diffusion import build, read_architecture
from dseg.store.errors import InputError
from torch import Tensor

GuidedState = Callable[..., dict[str, Tensor]]

NETWORKS = [
    ((32, 64), 1, (False, True), True, 6),
    ((32, 32, 64), 2, (False, True, True), False, 3),
    ((64,), 3, (True,), True, 6),
    ((32, 64, 64), 1, (True, False, False), True, 3),
]


@pytest.mark.parametrize(("channels", "res_blocks", "attends", "modern", "out"), NETWORKS)
def test_the_architecture_is_read_off_the_shapes(
    channels: tuple[int, ...],
    res_blocks: int,
    attends: tuple[bool, ...],
    modern: bool,
    out: int,
    guided_state: GuidedState,
) -> None:
    state = guided_state(channels, res_blocks, attends, modern, out)
    architecture = read_architecture(state, head_channels=16)
    assert architecture.channels == channels
    assert architecture.res_blocks == res_blocks
    assert architecture.attention == attends
    assert architecture.scale_shift == modern
    assert architecture.resblock_updown == (modern and len(channels) > 1)
    assert architecture.out_channels == out
    unet = build(state, architecture)
    assert sum(p.numel() for p in unet.parameters()) == sum(t.numel() for t in state.values())
    assert unet(torch.zeros(1, 3, 16, 16), 5).sample.shape == (1, out, 16, 16)


def first_output(state: dict[str, Tensor], **told: object) -> Tensor:
    architecture = read_architecture(state, **told)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    output: Tensor = build(state, architecture)(x, 5).sample
    return output


def test_legacy_rows_permuted_are_the_new_order(guided_state: GuidedState) -> None:
    legacy, new = guided_state(), guided_state()
    for key in [key for key in new if ".qkv." in key]:
        heads = 4
        rows = legacy[key].reshape(heads, 3, -1, *legacy[key].shape[1:])
        new[key] = rows.transpose(0, 1).reshape(legacy[key].shape)
    expected = first_output(legacy, heads=4, attention_order="legacy")
    torch.testing.assert_close(first_output(new, heads=4, attention_order="new"), expected)
    assert not torch.allclose(first_output(new, heads=4), expected, atol=1e-3)


def test_heads_by_number_equal_heads_by_channels(guided_state: GuidedState) -> None:
    state = guided_state()
    by_channels = first_output(state, head_channels=16)
    torch.testing.assert_close(first_output(state, heads=4), by_channels)
    assert not torch.allclose(first_output(state, heads=2), by_channels, atol=1e-3)
    torch.testing.assert_close(first_output(state), first_output(state, head_channels=64))


def without(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(start)}


def changed(state: dict[str, Tensor], key: str, *shape: int) -> dict[str, Tensor]:
    return {**state, key: torch.zeros(shape)}


CHANGES: list[tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = [
    (
        lambda s: {"fc.weight": torch.zeros(2)},
        "no network that dseg knows: .* its tensors are 'fc.weight'",
    ),
    (lambda s: without(s, "output_blocks"), "an encoder but no decoder"),
    (
        lambda s: {
            "conv_in.weight": s["out.0.bias"],
            "time_embedding.linear_1.weight": s["out.0.bias"],
        },
        "transformers network without its configuration: give the folder",
    ),
    (lambda s: changed(s, "label_emb.weight", 10, 128), "class-conditional network"),
    (lambda s: changed(s, "input_blocks.0.0.weight", 32, 6, 3, 3), "takes no RGB image alone"),
    (lambda s: changed(s, "time_embed.0.weight", 128, 16), "first channel multiplier other than 1"),
    (lambda s: without(s, "output_blocks.3"), "not those of a guided-diffusion U-Net with equally"),
    (lambda s: without(s, "middle_block.1.norm"), r"weights 2 missing \('mid_block.attentions"),
    (lambda s: changed(s, "extra.weight", 3), r"weights 1 left over \('extra.weight'\)"),
    (lambda s: changed(s, "out.2.bias", 7), r"weights 1 of another shape \('conv_out.bias'\)"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_another_network_is_refused(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    words: str,
    guided_state: GuidedState,
    tmp_path: Path,
) -> None:
    torch.save(change(guided_state()), tmp_path / "x.pt")
    with pytest.raises(InputError, match=words):
        load_backbone(tmp_path / "x.pt")


def test_what_is_told_must_fit(guided_file: Path) -> None:
    with pytest.raises(
        InputError, match=r"64 channels cannot be split by 48 head channels\. A \.pt does"
    ):
        load_backbone(guided_file, head_channels=48)
    with pytest.raises(InputError, match="64 channels cannot be split by 3 heads"):
        load_backbone(guided_file, heads=3)
    with pytest.raises(InputError, match="number of heads, not both"):
        load_backbone(guided_file, heads=4, head_channels=16)
    with pytest.raises(InputError, match="must be 'legacy' or 'new', got 'old'"):
        load_backbone(guided_file, attention_order="old")
    with pytest.raises(InputError, match="unknown noise schedule 'square'"):
        load_backbone(guided_file, schedule="square")
