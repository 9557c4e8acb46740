"""Class-conditional networks: one class for all images, as the library adds it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.diffusion.noise import NoiseSchedule, q_sample, shared_noise
from dseg.extract.registry import load_unet
from dseg.store.errors import InputError
from torch import Tensor

ROWS = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def unet() -> Any:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=32,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=4,
    ).eval()


def test_a_class_of_a_diffusers_folder(unet: Any, tmp_path: Path) -> None:
    unet.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, [70], [3], class_number=2, device="cpu")
    seen: list[Tensor] = []
    hook = unet.up_blocks[-1].register_forward_hook(lambda m, x, y: seen.append(y))
    (x,) = q_sample(ROWS, [70], shared_noise(0, (32, 32)), NoiseSchedule.named("linear"))
    with torch.inference_mode():
        unet(x, 70, class_labels=torch.tensor([2, 2]))
    hook.remove()
    torch.testing.assert_close(backbone(ROWS)[0], seen[0], atol=2e-5, rtol=1e-5)
    again = restore_backbone(feature_spec(backbone, "squash"), device="cpu")
    assert torch.equal(again(ROWS)[0], backbone(ROWS)[0])
    other = load_backbone(tmp_path, [70], [3], class_number=1, device="cpu")
    assert feature_spec(other, "squash").hash != feature_spec(backbone, "squash").hash


def test_a_class_of_a_guided_diffusion_file(
    guided_state: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    """A class's embedding goes to the timestep's, as a shift of its last layer's bias would."""
    state = guided_state()
    generator = torch.Generator().manual_seed(2)
    table = torch.randn(5, len(state["time_embed.2.bias"]), generator=generator)
    torch.save({**state, "label_emb.weight": table}, tmp_path / "classes.pt")
    shifted = {**state, "time_embed.2.bias": state["time_embed.2.bias"] + table[3]}
    torch.save(shifted, tmp_path / "shifted.pt")
    told = {"size": 32, "device": "cpu"}
    one = load_backbone(tmp_path / "classes.pt", [50], [1, 3], class_number=3, **told)
    expected = load_backbone(tmp_path / "shifted.pt", [50], [1, 3], **told)(ROWS)
    for got, map_ in zip(one(ROWS), expected, strict=True):
        torch.testing.assert_close(got, map_, atol=1e-4, rtol=1e-5)
    assert restore_backbone(feature_spec(one, "squash")).describe() == one.describe()
    with pytest.raises(InputError, match=r"of 5 classes.*--class-number 0 to 4.*null class"):
        load_backbone(tmp_path / "classes.pt", [50], [1], **told)


def test_pretraining_does_not_start_from_one(unet: Any, tmp_path: Path) -> None:
    from dseg.extract.networks.options import CheckpointOptions

    unet.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="class-conditional network: expected an unconditional"):
        load_unet(tmp_path, CheckpointOptions(class_number=1))
