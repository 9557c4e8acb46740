"""SAM's image encoder, as a folder of transformers and as published: equal to the library's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.transformers_folder import IMAGENET_MEAN, IMAGENET_STD
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.store.errors import InputError
from torch import Tensor

TOLERANCE = {"atol": 1e-4, "rtol": 1e-5}
ROWS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
Published = Callable[[str], dict[str, Tensor]]


def own(model: Any, x: Tensor) -> list[Tensor]:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        found = model.vision_encoder(((x + 1) / 2 - mean) / std, output_hidden_states=True)
    maps = [hidden.permute(0, 3, 1, 2) for hidden in found.hidden_states[-3:]]
    return [*maps, found.last_hidden_state]


@pytest.fixture(scope="module", params=["folder", "file", "encoder alone"])
def checkpoint(
    request: pytest.FixtureRequest,
    sam_model: Any,
    published_sam: Published,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder: Path = tmp_path_factory.mktemp("sam")
    if request.param == "folder":
        sam_model.save_pretrained(folder)
        return folder
    whole = request.param == "file"
    state = published_sam("image_encoder." if whole else "")
    others = {"prompt_encoder.not_a_point_embed.weight": torch.zeros(1, 16)} if whole else {}
    torch.save({**state, **others}, folder / "sam.pth")
    return folder / "sam.pth"


def test_every_block_equals_the_librarys_own(checkpoint: Path, sam_model: Any) -> None:
    backbone = load_backbone(checkpoint, blocks=range(4), device="cpu")
    assert backbone.describe()["kind"] == "sam"
    assert backbone.row_shape == (64, 64)
    for layer, got, one in zip(backbone.layers, backbone(ROWS), own(sam_model, ROWS), strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, **TOLERANCE)


def test_the_inputs_of_blocks(checkpoint: Path, sam_model: Any) -> None:
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


def test_a_damaged_file_is_refused(published_sam: Published, tmp_path: Path) -> None:
    state = published_sam("image_encoder.")
    del state["image_encoder.blocks.2.mlp.lin2.weight"]
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(InputError, match=r"SAM checkpoint are not those .*\(missing keys: 1\)"):
        load_backbone(tmp_path / "sam.pth")
    del state["image_encoder.blocks.2.attn.rel_pos_h"]
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(
        InputError, match="is not the image encoder of SAM as expected: a tensor is missing"
    ):
        load_backbone(tmp_path / "sam.pth")
