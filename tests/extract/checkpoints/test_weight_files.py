"""Networks whose weights lie in shards: the same activations as in one file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.weight_files import find_weights, patterns_of
from dseg.store.errors import InputError


def activations(folder: Path, size: int) -> list[torch.Tensor]:
    backbone = load_backbone(folder, device="cpu")
    return backbone(torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size))


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    for got, wanted in zip(one, other, strict=True):
        torch.testing.assert_close(got, wanted, atol=0, rtol=0)


@pytest.fixture
def sharded(diffusers_folder: Path, tmp_path: Path) -> Path:
    from diffusers import UNet2DModel

    folder = Path(
        shutil.copytree(
            diffusers_folder, tmp_path / "shards", ignore=shutil.ignore_patterns("*.safetensors")
        )
    )
    UNet2DModel.from_pretrained(diffusers_folder / "unet").save_pretrained(
        folder / "unet", max_shard_size="100KB"
    )
    return folder


def test_a_diffusers_network_in_shards(diffusers_folder: Path, sharded: Path) -> None:
    files = find_weights(sharded / "unet", ("diffusion_pytorch_model.safetensors",))
    assert len(files) > 3  # an index, and shards
    same(activations(sharded, 16), activations(diffusers_folder, 16))
    before = load_backbone(sharded).describe()["sha256"]
    with sorted(sharded.glob("unet/*.safetensors"))[1].open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x00\x00\x00\x00")
    assert load_backbone(sharded).describe()["sha256"] != before


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/secret.safetensors"])
def test_an_index_that_names_files_elsewhere(sharded: Path, tmp_path: Path, name: str) -> None:
    (sharded / "secret.safetensors").write_bytes(b"")  # it is there
    index = next((sharded / "unet").glob("*.index.json"))
    plain = json.loads(index.read_text())
    plain["weight_map"][next(iter(plain["weight_map"]))] = name
    index.write_text(json.dumps(plain))
    with pytest.raises(InputError, match=rf"names the shard '{name}', no file next to it: it "):
        find_weights(sharded / "unet", ("diffusion_pytorch_model.safetensors",))


def test_a_transformers_network_in_shards(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    model: Any = Dinov2Model(
        Dinov2Config(
            hidden_size=32,
            num_hidden_layers=5,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        )
    )
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "shards", max_shard_size="50KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    same(activations(tmp_path / "shards", 28), activations(tmp_path / "one", 28))


def test_a_missing_shard_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("unet/*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(InputError, match=f"lacks {shard.name}, named by .*was the download"):
        load_backbone(sharded)
    (index,) = sharded.glob("unet/*.index.json")
    for content in ({}, {"weight_map": {}}, {"weight_map": 3}):
        index.write_text(json.dumps(content))
        with pytest.raises(InputError, match="names no shards of weights: was the download"):
            load_backbone(sharded)


def test_shards_of_a_hub_network_are_wanted_too(
    sharded: Path, cached_from_hub: Callable[[Path], str]
) -> None:
    name = cached_from_hub(sharded).partition("@")[0]
    assert load_backbone(name).describe() == load_backbone(sharded).describe()
    names = [path.name for path in (sharded / "unet").iterdir() if path.name != "config.json"]
    patterns = patterns_of(["diffusion_pytorch_model.safetensors"])
    assert all(any(Path(name).match(pattern) for pattern in patterns) for name in names)
