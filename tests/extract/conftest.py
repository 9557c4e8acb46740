"""Small checkpoints of several formats, made here."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

GuidedState = Callable[..., dict[str, Tensor]]


def conv(name: str, out: int, into: int, *kernel: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, into, *kernel)
    yield f"{name}.bias", (out,)


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def res_block(
    name: str, into: int, out: int, embedding: int, scale_shift: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from norm(f"{name}.in_layers.0", into)
    yield from conv(f"{name}.in_layers.2", out, into, 3, 3)
    yield from conv(f"{name}.emb_layers.1", out * (1 + scale_shift), embedding)
    yield from norm(f"{name}.out_layers.0", out)
    yield from conv(f"{name}.out_layers.3", out, out, 3, 3)
    if into != out:
        yield from conv(f"{name}.skip_connection", out, into, 1, 1)


def attention(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from norm(f"{name}.norm", channels)
    yield from conv(f"{name}.qkv", 3 * channels, channels, 1)
    yield from conv(f"{name}.proj_out", channels, channels, 1)


def guided_shapes(
    channels: tuple[int, ...], res_blocks: int, attends: tuple[bool, ...], modern: bool, out: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes as guided-diffusion's UNetModel constructor lays them out.

    ``modern``: scale-shift norm and residual blocks that change the resolution.
    """
    base, embedding = channels[0], 4 * channels[0]
    yield from conv("time_embed.0", embedding, base)
    yield from conv("time_embed.2", embedding, embedding)
    yield from conv("input_blocks.0.0", base, 3, 3, 3)
    width, number, skips = base, 1, [base]
    for level, wide in enumerate(channels):
        for _ in range(res_blocks):
            yield from res_block(f"input_blocks.{number}.0", width, wide, embedding, modern)
            if attends[level]:
                yield from attention(f"input_blocks.{number}.1", wide)
            width, number = wide, number + 1
            skips.append(width)
        if level != len(channels) - 1:
            name = f"input_blocks.{number}.0"
            yield from (
                res_block(name, width, width, embedding, modern)
                if modern
                else conv(f"{name}.op", width, width, 3, 3)
            )
            number += 1
            skips.append(width)
    yield from res_block("middle_block.0", width, width, embedding, modern)
    yield from attention("middle_block.1", width)
    yield from res_block("middle_block.2", width, width, embedding, modern)
    number = 0
    for level, wide in reversed(list(enumerate(channels))):
        for place in range(res_blocks + 1):
            name = f"output_blocks.{number}"
            yield from res_block(f"{name}.0", width + skips.pop(), wide, embedding, modern)
            width = wide
            if attends[level]:
                yield from attention(f"{name}.1", wide)
            if level and place == res_blocks:
                up = f"{name}.{1 + attends[level]}"
                yield from (
                    res_block(up, wide, wide, embedding, modern)
                    if modern
                    else conv(f"{up}.conv", wide, wide, 3, 3)
                )
            number += 1
    yield from norm("out.0", base)
    yield from conv("out.2", out, base, 3, 3)


@pytest.fixture(scope="session")
def guided_state() -> GuidedState:
    """Make a state dict with guided-diffusion's names and random weights."""

    def make(
        channels: tuple[int, ...] = (32, 32, 64),
        res_blocks: int = 1,
        attends: tuple[bool, ...] = (False, False, True),
        modern: bool = True,
        out: int = 6,
    ) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(7)
        shapes = guided_shapes(channels, res_blocks, attends, modern, out)
        return {
            name: torch.randn(shape, generator=generator) / prod(shape[1:]) ** 0.5
            for name, shape in shapes
        }

    return make


@pytest.fixture
def guided_file(guided_state: GuidedState, tmp_path: Path) -> Path:
    """A guided-diffusion file of three levels, two decoder blocks each, for 32-pixel images."""
    path = tmp_path / "tiny.pt"
    torch.save(guided_state(), path)
    return path


@pytest.fixture(scope="session")
def diffusers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers pipeline's folder with a random network of two levels, and its schedule."""
    from diffusers import UNet2DModel

    torch.manual_seed(3)
    unet = UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_eps=1e-6,
        flip_sin_to_cos=False,
        freq_shift=1,
        downsample_padding=0,
    )
    folder = tmp_path_factory.mktemp("pipeline")
    unet.save_pretrained(folder / "unet")
    scheduler = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 500,
        "trained_betas": None,
    }
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(scheduler))
    return folder


@pytest.fixture
def cached_from_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Put a folder into the hub's cache, as a download leaves it; return its exact id."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(folder: Path) -> str:
        cached = tmp_path / "hub/models--some--net"
        shutil.copytree(folder, cached / "snapshots" / commit)
        (cached / "refs").mkdir()
        (cached / "refs/main").write_text(commit)
        return f"some/net@{commit}"

    return put


@pytest.fixture(scope="session")
def sam_model() -> Any:
    """A small random SAM."""
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


@pytest.fixture(scope="session")
def published_sam(sam_model: Any) -> Callable[[str], dict[str, Tensor]]:
    """Its encoder's weights under the published names, each after a prefix."""

    def make(prefix: str) -> dict[str, Tensor]:
        state = {}
        for key, value in sam_model.vision_encoder.state_dict().items():
            name = key
            for there, here in PUBLISHED:
                name = re.sub(there, here, name)
            state[f"{prefix}{name}"] = value
        return state

    return make
