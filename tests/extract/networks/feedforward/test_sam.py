"""SAM's image encoder, as a folder of transformers and as published: equal to the library's own."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.feedforward.trunk import IMAGENET_MEAN, IMAGENET_STD
from dseg.store.errors import InputError
from torch import Tensor

TOLERANCE = {"atol": 1e-4, "rtol": 1e-5}
ROWS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
# The inverse of what transformers' own conversion of the published files renames.
PUBLISHED = (
    (r"^layers\.(\d+)\.layer_norm(\d)", r"blocks.\1.norm\2"),
    (r"^layers\.", "blocks."),
    (r"^patch_embed\.projection", "patch_embed.proj"),
    (r"^neck\.conv1", "neck.0"),
    (r"^neck\.layer_norm1", "neck.1"),
    (r"^neck\.conv2", "neck.2"),
    (r"^neck\.layer_norm2", "neck.3"),
)


@pytest.fixture(scope="module")
def model() -> Any:
    import transformers as t

    torch.manual_seed(0)
    vision = t.SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        window_size=3,
        global_attn_indexes=[1, 2],
        output_channels=12,
        mlp_dim=32,
    )
    decoder = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "mlp_dim": 8}
    config = t.SamConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8},
        mask_decoder_config={**decoder, "iou_head_hidden_dim": 8},
    )
    made = t.SamModel(config).eval()
    for parameter in made.parameters():  # positions begin as zeros
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def published(model: Any, prefix: str) -> dict[str, Tensor]:
    state = {}
    for key, value in model.vision_encoder.state_dict().items():
        name = key
        for there, here in PUBLISHED:
            name = re.sub(there, here, name)
        state[f"{prefix}{name}"] = value
    return state


def own(model: Any, x: Tensor) -> list[Tensor]:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        found = model.vision_encoder(((x + 1) / 2 - mean) / std, output_hidden_states=True)
    maps = [hidden.permute(0, 3, 1, 2) for hidden in found.hidden_states[-3:]]
    return [*maps, found.last_hidden_state]


@pytest.fixture(scope="module", params=["folder", "file", "encoder alone"])
def checkpoint(request: pytest.FixtureRequest, model: Any, tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("sam")
    if request.param == "folder":
        model.save_pretrained(folder)
        return folder
    whole = request.param == "file"
    state = published(model, "image_encoder." if whole else "")
    others = {"prompt_encoder.not_a_point_embed.weight": torch.zeros(1, 16)} if whole else {}
    torch.save({**state, **others}, folder / "sam.pth")
    return folder / "sam.pth"


def test_every_block_equals_the_librarys_own(checkpoint: Path, model: Any) -> None:
    backbone = load_backbone(checkpoint, blocks=range(4), device="cpu")
    assert backbone.describe()["kind"] == "sam"
    assert backbone.row_shape == (64, 64)
    for layer, got, one in zip(backbone.layers, backbone(ROWS), own(model, ROWS), strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)


def test_the_inputs_of_blocks(checkpoint: Path, model: Any) -> None:
    inputs = load_backbone(checkpoint, blocks=[1, 3], inputs=True, device="cpu")
    outputs = load_backbone(checkpoint, blocks=[0, 2], device="cpu")(ROWS)
    for layer, got, one in zip(inputs.layers, inputs(ROWS), outputs, strict=True):
        assert layer.channels == got.shape[1]
        assert torch.equal(got, one)


def test_the_default_is_global_attention_and_the_embedding(checkpoint: Path) -> None:
    assert [layer.name for layer in load_backbone(checkpoint).layers] == ["1", "2", "3"]


def test_other_sizes_interpolate_the_positions(checkpoint: Path) -> None:
    one = load_backbone(checkpoint, size=(32, 48), device="cpu")
    x = ROWS[:, :, :32, :48].contiguous()
    assert [tuple(found.shape[2:]) for found in one(x)] == [(4, 6)] * 3
    spec = feature_spec(one, "squash")
    again = restore_backbone(type(spec).from_dict(spec.to_dict()), device="cpu")
    assert torch.equal(again(x)[0], one(x)[0])
    with pytest.raises(InputError, match="multiples of 8: got 30x48"):
        load_backbone(checkpoint, size=(30, 48))


def test_a_damaged_file_is_refused(model: Any, tmp_path: Path) -> None:
    state = published(model, "image_encoder.")
    del state["image_encoder.blocks.2.mlp.lin2.weight"]
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(InputError, match=r"SAM checkpoint are not those .*\(missing keys: 1\)"):
        load_backbone(tmp_path / "sam.pth")
    del state["image_encoder.blocks.2.attn.rel_pos_h"]
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(InputError, match="not the image encoder of SAM: it lacks"):
        load_backbone(tmp_path / "sam.pth")
