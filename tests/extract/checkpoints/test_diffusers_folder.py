import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.diffusion.noise import q_sample, shared_noise
from dseg.extract.registry import load_unet
from dseg.store.errors import InputError
from safetensors.torch import load_file, save_file

ROWS = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


@pytest.fixture
def folder(diffusers_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(diffusers_folder, tmp_path / "copy"))


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "unet/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def test_pipeline_plain_folder_and_bin_are_the_same_network(folder: Path, tmp_path: Path) -> None:
    expected = load_backbone(folder, [5], [2, 3], device="cpu")(ROWS)
    plain = tmp_path / "plain"
    shutil.copytree(folder / "unet", plain)
    shutil.copy(folder / "scheduler/scheduler_config.json", plain)
    weights = plain / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    for form in (".safetensors", ".bin"):
        for got, wanted in zip(
            load_backbone(plain, [5], [2, 3], device="cpu")(ROWS), expected, strict=True
        ):
            torch.testing.assert_close(got, wanted)
        if form == ".safetensors":
            weights.unlink()


def test_the_unet_folder_itself_finds_the_scheduler_beside_it(folder: Path) -> None:
    whole, inner = load_unet(folder), load_unet(folder / "unet")
    assert inner.schedule.description == whole.schedule.description
    assert inner.sha256 == whole.sha256


def test_the_betas_that_a_scheduler_lists_are_those_of_the_noise(folder: Path) -> None:
    from diffusers import DDIMScheduler

    betas = np.linspace(0.01, 0.14, 400) ** 2
    own = DDIMScheduler(trained_betas=betas.tolist(), num_train_timesteps=400)
    own.save_pretrained(folder / "scheduler")
    backbone = load_backbone(folder, [3, 399], [0], device="cpu")
    schedule = load_unet(folder).schedule
    noise, steps = shared_noise(0, (16, 16)), torch.tensor([3, 399])
    expected = own.add_noise(ROWS.expand(2, -1, -1, -1), noise.expand(2, -1, -1, -1), steps)
    x_t = q_sample(ROWS, [3, 399], noise, schedule)[:, 0]
    torch.testing.assert_close(x_t, expected, atol=5e-6, rtol=0)  # theirs are float32
    described = backbone.describe()["schedule"]
    assert (described["name"], described["timesteps"]) == ("trained", 400)
    assert len(json.dumps(described)) < 200
    again = restore_backbone(feature_spec(backbone, "squash"), device="cpu")
    assert torch.equal(again(ROWS)[0], backbone(ROWS)[0])
    hashes = {feature_spec(backbone, "squash").hash}
    for other in ([*betas[:-1].tolist(), 0.5], betas[:-1].tolist()):
        change = {"trained_betas": other, "num_train_timesteps": len(other)}
        path = folder / "scheduler/scheduler_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        changed = load_backbone(folder, [3], [0]).describe()["schedule"]
        assert changed != described
        hashes.add(feature_spec(load_backbone(folder, [3, 398], [0]), "squash").hash)
    assert len(hashes) == 3


def test_a_folder_without_a_schedule_takes_the_one_told(folder: Path) -> None:
    shutil.rmtree(folder / "scheduler")
    assert load_backbone(folder).describe()["schedule"] == {"name": "linear", "timesteps": 1000}
    told = load_backbone(folder, schedule="cosine", diffusion_steps=300)
    assert told.describe()["schedule"] == {"name": "cosine", "timesteps": 300}


@pytest.mark.parametrize("part", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_every_file_that_counts_changes_the_sha256(part: str, folder: Path) -> None:
    before = load_unet(folder).sha256
    path = folder / part
    path.write_text(json.dumps({**json.loads(path.read_text()), "note": 1}))
    assert load_unet(folder).sha256 != before


def test_old_attention_names_are_understood(folder: Path) -> None:
    expected = load_backbone(folder, [5], [1], device="cpu")(ROWS)[0]
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(weights: dict[str, torch.Tensor]) -> None:
        for key in list(weights):
            new = key
            for ours, theirs in old.items():
                new = new.replace(f"attentions.0.{ours}", f"attentions.0.{theirs}")
            weights[new] = weights.pop(key)
        assert any("proj_attn" in key for key in weights)

    change_weights(folder, rename)
    torch.testing.assert_close(load_backbone(folder, [5], [1], device="cpu")(ROWS)[0], expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_class_name": "UNet1DModel"}, "is a UNet1DModel: expected a UNet2DModel"),
        ({"class_embed_type": "timestep"}, "class-conditional in a form that is not supported"),
        ({"time_embedding_type": "fourier"}, "has a fourier time embedding: expected positional"),
        ({"in_channels": 4}, r"takes 4 channels: expected 3 \(RGB\)"),
        ({"up_block_types": ["SkipUpBlock2D", "UpBlock2D"]}, "type SkipUpBlock2D: expected only"),
        ({"layers_per_block": 1}, r"cannot be loaded: .* is the config.json theirs"),
    ],
)
def test_another_network_is_refused(changes: dict[str, object], words: str, folder: Path) -> None:
    change_config(folder, **changes)
    with pytest.raises(InputError, match=words):
        load_backbone(folder)


def test_weights_left_over_are_refused(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update(extra=torch.zeros(2)))
    with pytest.raises(InputError, match=r"not those of its config.json \(unexpected keys: 1\)"):
        load_backbone(folder)


def test_missing_weights_are_refused_not_made_up(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("conv_in.bias"))
    with pytest.raises(InputError, match=r"not those of its config.json \(missing keys: 1\)"):
        load_backbone(folder)


def test_incomplete_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot be loaded: .*Was the download complete"):
        load_backbone(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"holds no weights: expected diffusion_pytorch_model.saf"):
        load_backbone(folder)
    (folder / "unet/config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json' is not readable JSON"):
        load_backbone(folder)
    (folder / "unet/config.json").write_text("[]")
    with pytest.raises(InputError, match="must hold a JSON object, got list"):
        load_backbone(folder)
    with pytest.raises(InputError, match=r"holds no network: expected a config.json"):
        load_backbone(tmp_path)


def test_what_the_folder_states_cannot_be_told(folder: Path) -> None:
    with pytest.raises(
        InputError, match="heads cannot be set for this checkpoint: a diffusers fol"
    ):
        load_backbone(folder, heads=4)
    with pytest.raises(InputError, match="schedule cannot be set"):
        load_backbone(folder, schedule="cosine")


def test_nothing_is_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_backbone(folder, device="cpu")(ROWS)
    assert capfd.readouterr() == ("", "")


# --- the hub


def test_a_hub_id_without_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"'some/net' is no local.*first with: hf download some/ne"
    ):
        load_backbone("some/net")


def test_a_hub_network_in_the_cache_needs_no_network(
    diffusers_folder: Path, cached_from_hub: Callable[[Path], str]
) -> None:
    exact = cached_from_hub(diffusers_folder)
    backbone = load_backbone(exact.partition("@")[0])
    assert backbone.source == exact
    assert load_backbone(backbone.source).describe() == backbone.describe()
    assert backbone.describe() == load_backbone(diffusers_folder).describe()


def test_a_missing_file_is_no_hub_id() -> None:
    for checkpoint in ("nowhere/model.pt", "./nowhere/net", "a/b/c", "nowhere.pt"):
        with pytest.raises(InputError, match="does not exist: give a file"):
            load_backbone(checkpoint)
